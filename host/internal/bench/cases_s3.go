package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/loopback"
)

func bucketCases() []Case {
	return []Case{
		{
			Name: "full-s3", About: "native-full into an empty repository on S3, versitygw on the loopback",
			Contenders: fullToBucket,
			Bars:       []Bar{{Of: []string{rclone}, Factor: 1 / 2.2}, {Of: []string{restic}, Factor: 1 / 4.0}},
		},
		{
			Name: "restore-s3", About: "a native snapshot on S3 into an empty directory, every digest checked, all of it synced; rclone does not sync",
			Contenders: restoredFromBucket,
			Bars:       []Bar{{Of: []string{rclone}, Factor: 1}},
		},
	}
}

// bucket is a server for S3 with one bucket, which is a folder.
type bucket struct {
	endpoint string
	root     string
}

const bucketName = "bench"

// bucket starts a server, which ends with the case. Missing says why there is none.
func (g *Ground) bucket(ctx context.Context) (b bucket, missing string, err error) {
	program, missing := g.Tools.find("versitygw")
	if missing != "" {
		return b, missing, nil
	}
	if b.root, err = g.folder("s3"); err != nil {
		return b, "", err
	}
	if err := errors.Join(os.Mkdir(filepath.Join(b.root, bucketName), 0o755), g.credentials()); err != nil {
		return b, "", err
	}
	server, err := loopback.Start(ctx, func(address string) *exec.Cmd { return loopback.Versity(program, address, b.root) })
	if err != nil {
		return b, "", err
	}
	g.atEnd(func() error { server.Close(); return nil })
	b.endpoint = "http://" + server.Address
	return b, "", nil
}

// credentials gives those of the server to this process and its children, until the
// case ends, and keeps those of the machine out.
func (g *Ground) credentials() error {
	none := filepath.Join(g.Dir, "none")
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": loopback.AccessKey, "AWS_SECRET_ACCESS_KEY": loopback.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		before, was := os.LookupEnv(key)
		if err := os.Setenv(key, value); err != nil {
			return err
		}
		g.atEnd(func() error {
			if was {
				return os.Setenv(key, before)
			}
			return os.Unsetenv(key)
		})
	}
	return nil
}

// move has the site keep its repository in the bucket.
func (s *site) move(b bucket, strategy string) error {
	s.url = "s3://" + bucketName + "/rocksnap"
	s.wipe = func() error { return os.RemoveAll(filepath.Join(b.root, bucketName, "rocksnap")) }
	return s.configure(strategy, fmt.Sprintf("endpoint = %q\nregion = %q\npath_style = true", b.endpoint, loopback.Region))
}

// inBucket makes a site with its repository in a bucket.
func (g *Ground) inBucket(db, strategy string, b bucket, options ...host.Option) (*site, error) {
	s, err := g.siteOf(db, strategy, options...)
	if err != nil {
		return nil, err
	}
	return s, s.move(b, strategy)
}

func fullToBucket(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	b, missing, err := g.bucket(ctx)
	if missing != "" || err != nil {
		return []Contender{{Name: ours, Missing: missing}}, err
	}
	s, err := g.inBucket(db, "native-full", b)
	if err != nil {
		return nil, err
	}
	rivals, err := g.bucketRivals(db, b)
	return append([]Contender{s.full(ours)}, rivals...), err
}

func restoredFromBucket(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	b, missing, err := g.bucket(ctx)
	if missing != "" || err != nil {
		return []Contender{{Name: ours, Missing: missing}}, err
	}
	s, err := g.inBucket(db, "native-full", b)
	if err == nil {
		err = s.based(ctx)
	}
	if err != nil {
		return nil, err
	}
	rivals, err := g.bucketFetchers(ctx, db, b)
	ours := s.restore(ours)
	return append([]Contender{g.fair(ours.Name, ours, b.root)}, rivals...), err
}

// client is how other programs reach the bucket.
func (b bucket) client() Bucket {
	return Bucket{b.endpoint, loopback.Region, bucketName, loopback.AccessKey, loopback.SecretKey, filepath.Join(b.root, bucketName)}
}

func (g *Ground) bucketRivals(db string, b bucket) ([]Contender, error) {
	folder, err := g.folder("clients")
	if err != nil {
		return nil, err
	}
	return []Contender{
		g.fair(rclone, g.Tools.RcloneCopy(db, b.client(), "rclone", folder), db),
		g.fair(restic, g.Tools.ResticBackup(db, b.client(), "restic", folder), db),
	}, nil
}

func (g *Ground) bucketFetchers(ctx context.Context, db string, b bucket) ([]Contender, error) {
	folder, err := g.folder("clients")
	if err != nil {
		return nil, err
	}
	if err := once(ctx, g.Tools.RcloneCopy(db, b.client(), "rclone", folder)); err != nil {
		return nil, err
	}
	return []Contender{g.fair(rclone, g.Tools.RcloneFetch(b.client(), "rclone", filepath.Join(folder, "fetched"), folder), b.root)}, nil
}
