package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/s3"
)

// openStore opens the store that a configuration names, within its limits. Only
// create makes a directory that is missing. A store of a single writer does not
// ask the provider for exclusive creates, which it does not have.
func openStore(ctx context.Context, c config.Repository, log *slog.Logger, create, singleWriter bool) (blob.Store, error) {
	store, err := openProvider(ctx, c, log, create, singleWriter)
	if err != nil {
		return nil, err
	}
	limits := blob.Limits{Upload: int64(c.Transfer.UploadLimit), Download: int64(c.Transfer.DownloadLimit)}
	if limits == (blob.Limits{}) {
		return store, nil
	}
	return blob.Limit(store, limits), nil
}

func openProvider(ctx context.Context, c config.Repository, log *slog.Logger, create, singleWriter bool) (blob.Store, error) {
	if bucket, prefix, ok := c.S3(); ok {
		store, err := s3.Open(ctx, s3.Options{
			Bucket: bucket, Prefix: prefix, Endpoint: c.Endpoint, Region: c.Region, PathStyle: c.PathStyle, CAFile: c.CAFile,
			Requests: c.Transfer.Requests, Memory: int64(c.Transfer.Memory), SingleWriter: singleWriter, Log: log,
		})
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	open := dir.Open
	if create {
		open = dir.Create
	}
	store, err := open(c.Dir())
	if err != nil {
		return nil, err
	}
	return store, nil
}

// storeProblem explains why a store could not be opened.
func storeProblem(c config.Repository, err error) error {
	switch {
	case errors.Is(err, s3.ErrNoBucket):
		return problem(CodeNoRepository, err, "create the bucket, or correct [repository] url, endpoint or region")
	case errors.Is(err, fs.ErrNotExist):
		return noRepository(c)
	}
	return fmt.Errorf("open repository: %w", err)
}
