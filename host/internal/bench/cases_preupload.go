package bench

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// uploadCase is about what a snapshot takes when its files are in the store already.
var uploadCase = Case{
	Name: "pre-upload", About: "incremental, with pre-upload, after 256 MB were written and uploaded meanwhile",
	Contenders: preuploaded,
	Bars:       []Bar{{Of: []string{unchanged}, Factor: 2}},
}

func preuploaded(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "incremental")
	if err != nil {
		return nil, err
	}
	s.snapshots = "preupload = true"
	if err := s.configure("incremental"); err != nil {
		return []Contender{{Name: ours, Missing: "this rocksnap does not pre-upload"}, {Name: unchanged, Missing: "as before"}}, nil
	}
	u := &upload{site: s, random: rand.NewChaCha8([32]byte{}), bytes: min(256<<20, g.Size/4)}
	if err := u.open(ctx); err != nil {
		return nil, err
	}
	return []Contender{
		{Name: ours, Before: u.write, Run: u.snapshot},
		{Name: unchanged, Before: func(context.Context) error { return g.settle() }, Run: u.snapshot},
	}, nil
}

// upload is a database that stays open, with a host that uploads what is written.
type upload struct {
	site   *site
	db     *rocks.DB
	random *rand.ChaCha8
	bytes  int64 // that are written before a snapshot
	number int64 // of the next record
}

func (u *upload) open(ctx context.Context) (err error) {
	if u.db, err = rocks.Open(u.site.db, rocks.Options{}); err != nil {
		return err
	}
	u.site.ground.atEnd(u.db.Close)
	return u.site.stay(ctx, lend(u.db))
}

func (u *upload) snapshot(ctx context.Context) (Measure, error) { return u.site.take(ctx) }

// write writes to the database and waits until nothing more is uploaded.
func (u *upload) write(ctx context.Context) error {
	value := make([]byte, 1000)
	var block []byte
	for done := int64(0); done < u.bytes; {
		u.random.Read(value[:500])
		block = canonical.AppendRecord(block, append(key(u.number), "-new"...), value)
		u.number++
		if len(block) < 1<<20 {
			continue
		}
		if err := u.db.PutBlock("default", block); err != nil {
			return err
		}
		done, block = done+int64(len(block)), block[:0]
	}
	if err := u.quiet(ctx); err != nil {
		return err
	}
	return u.site.ground.settle()
}

// quietFor is how long the repository has to stay as it is to be taken for complete.
const quietFor = 10 * time.Second

// quiet waits until the repository has not grown for a while.
func (u *upload) quiet(ctx context.Context) error {
	var before int64
	for since := time.Now(); time.Since(since) < quietFor; {
		size, err := sizeOf(u.site.repository())
		if err != nil {
			return err
		}
		if size != before {
			before, since = size, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietFor / 50):
		}
	}
	return nil
}
