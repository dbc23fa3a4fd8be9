package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is a contender that is a program of somebody else's, as a whole process.
func (t Tools) program(name string, before func(context.Context) error, in string, env []string, args ...string) Contender {
	path, missing := t.find(name)
	return Contender{Missing: missing, Before: before, Run: func(ctx context.Context) (Measure, error) {
		stdin, err := input(in)
		if err != nil {
			return Measure{}, err
		}
		defer stdin.Close()
		return timed(0, func() error {
			_, err := run(ctx, stdin, env, path, args...)
			return err
		})
	}}
}

// input opens a file, or what is empty for "".
func input(path string) (*os.File, error) {
	if path == "" {
		path = os.DevNull
	}
	return os.Open(path)
}

// LdbBackup has RocksDB's tool make a backup of a closed database.
func (t Tools) LdbBackup(db, backups string) Contender {
	c := t.program("ldb", without(backups), "", nil, "backup", "--db="+db, "--backup_dir="+backups, "--num_threads=1")
	return asLarge(c, backups, db)
}

// LdbRestore has RocksDB's tool restore the newest backup.
func (t Tools) LdbRestore(backups, db string) Contender {
	return t.program("ldb", without(db), "", nil, "restore", "--db="+db, "--backup_dir="+backups, "--num_threads=1")
}

// LdbDump writes the records of a database into a file that ldb can load.
func (t Tools) LdbDump(ctx context.Context, db, dump string) error {
	path, missing := t.find("ldb")
	if missing != "" {
		return nil // LdbLoad says so
	}
	out, err := os.Create(dump)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "dump", "--hex", "--db="+db)
	cmd.Stdout = out
	return errors.Join(cmd.Run(), out.Close())
}

// LdbLoad loads such a file into a new database, without a log and with the options
// it has by default.
func (t Tools) LdbLoad(dump, db string) Contender {
	return t.program("ldb", without(db), dump, nil, "load", "--hex", "--db="+db, "--create_if_missing", "--disable_wal")
}

// Bucket is where S3 clients work.
type Bucket struct {
	Endpoint, Region, Name, AccessKey, SecretKey string
}

func (b Bucket) rcloneEnv(folder string) []string {
	return []string{
		"RCLONE_CONFIG=" + filepath.Join(folder, "rclone.conf"), "RCLONE_CACHE_DIR=" + folder,
		"RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other", "RCLONE_CONFIG_S3_ENDPOINT=" + b.Endpoint,
		"RCLONE_CONFIG_S3_REGION=" + b.Region, "RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + b.AccessKey, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + b.SecretKey,
	}
}

func (b Bucket) resticEnv(folder, repository string) []string {
	return []string{
		"RESTIC_REPOSITORY=" + repository, "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + filepath.Join(folder, "cache"),
		"AWS_ACCESS_KEY_ID=" + b.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.SecretKey, "AWS_DEFAULT_REGION=" + b.Region,
	}
}

// RcloneCopy uploads a closed database to a free prefix of a bucket with four
// transfers at a time, which is rclone's default. folder is for its own files.
func (t Tools) RcloneCopy(db string, b Bucket, prefix, folder string) Contender {
	remote := "s3:" + b.Name + "/" + prefix
	path, missing := t.find("rclone")
	c := t.program("rclone", nil, "", b.rcloneEnv(folder), "copy", "--transfers", "4", db, remote)
	c.Missing = missing
	c.Before = func(ctx context.Context) error {
		_, err := run(ctx, nil, b.rcloneEnv(folder), path, "purge", remote)
		if err != nil && strings.Contains(err.Error(), "not found") {
			return nil
		}
		return err
	}
	return c
}

// RcloneFetch downloads what [Tools.RcloneCopy] has uploaded. Nothing is synced.
func (t Tools) RcloneFetch(b Bucket, prefix, target, folder string) Contender {
	return t.program("rclone", without(target), "", b.rcloneEnv(folder), "copy", "--transfers", "4", "s3:"+b.Name+"/"+prefix, target)
}

// ResticBackup backs a closed database up into a fresh repository: a folder, or
// "s3:http://host/bucket/prefix". Compression is off, as the tables' own would be in
// its way. folder is for its own files.
func (t Tools) ResticBackup(db, repository string, b Bucket, folder string) Contender {
	path, missing := t.find("restic")
	fresh := 0
	at := func() string { return fmt.Sprintf("%s-%d", repository, fresh) }
	return Contender{
		Missing: missing,
		Before: func(ctx context.Context) error {
			if !strings.HasPrefix(repository, "s3:") {
				if err := os.RemoveAll(at()); err != nil {
					return err
				}
			}
			fresh++
			_, err := run(ctx, nil, b.resticEnv(folder, at()), path, "init")
			return err
		},
		Run: func(ctx context.Context) (Measure, error) {
			return timed(0, func() error {
				_, err := run(ctx, nil, b.resticEnv(folder, at()), path, "backup", "--compression", "off", db)
				return err
			})
		},
	}
}
