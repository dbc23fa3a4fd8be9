package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/host/blob"
)

// List yields objects page by page. See [blob.Store]. Keys that are no names of
// objects are passed over.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for object, err := range s.objects(ctx, prefix, after) {
			if err != nil {
				yield(blob.Info{}, fmt.Errorf("list %s: %w", prefix, s.explain(err)))
				return
			}
			name := strings.TrimPrefix(aws.ToString(object.Key), s.prefix)
			if blob.CheckName(name) != nil {
				continue
			}
			if !yield(blob.Info{Name: name, Size: aws.ToInt64(object.Size), Modified: aws.ToTime(object.LastModified)}, nil) {
				return
			}
		}
	}
}

// pageSize is how many keys a provider returns at a time unless it is asked for fewer.
const pageSize = 1000

// PageSize returns how many objects one request lists. See [blob.Paged].
func (s *Store) PageSize() int { return pageSize }

// pager is what the paginators of the SDK have in common.
type pager[P any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, opts ...func(*s3.Options)) (*P, error)
}

// each yields the items of all pages, and tries each page as other requests.
func each[P, T any](ctx context.Context, s *Store, pages pager[P], items func(*P) []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for pages.HasMorePages() {
			var page *P
			err := s.do(ctx, 0, func(ctx context.Context) (err error) {
				page, err = pages.NextPage(ctx)
				return err
			})
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range items(page) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// objects lists keys below the store's prefix.
func (s *Store) objects(ctx context.Context, prefix, after string) iter.Seq2[types.Object, error] {
	if err := errors.Join(blob.CheckPrefix(prefix), ctx.Err()); err != nil {
		return func(yield func(types.Object, error) bool) { yield(types.Object{}, err) }
	}
	in := &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: aws.String(s.prefix + prefix)}
	if after != "" {
		in.StartAfter = aws.String(s.prefix + after)
	}
	return each(ctx, s, s3.NewListObjectsV2Paginator(s.client, in), func(p *s3.ListObjectsV2Output) []types.Object { return p.Contents })
}

// uploads lists the unfinished uploads of keys that start with a prefix.
func (s *Store) uploads(ctx context.Context, prefix string) iter.Seq2[types.MultipartUpload, error] {
	in := &s3.ListMultipartUploadsInput{Bucket: s.bucket, Prefix: &prefix}
	return each(ctx, s, s3.NewListMultipartUploadsPaginator(s.client, in), func(p *s3.ListMultipartUploadsOutput) []types.MultipartUpload { return p.Uploads })
}

// storedParts lists what an unfinished upload has.
func (s *Store) storedParts(ctx context.Context, key, id string) iter.Seq2[types.Part, error] {
	in := &s3.ListPartsInput{Bucket: s.bucket, Key: &key, UploadId: &id}
	return each(ctx, s, s3.NewListPartsPaginator(s.client, in), func(p *s3.ListPartsOutput) []types.Part { return p.Parts })
}

// batch is how many keys one request may delete, from the S3 API reference
// ("DeleteObjects").
const batch = 1000

// Delete removes objects, many with each request. See [blob.Store].
func (s *Store) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := check(ctx, name); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	if len(names) == 1 {
		return s.deleteOne(ctx, names[0])
	}
	for some := range slices.Chunk(names, batch) {
		if err := s.deleteBatch(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteOne(ctx context.Context, name string) error {
	err := s.do(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: aws.String(s.prefix + name)})
		return err
	})
	if err == nil || absent(err) {
		return nil
	}
	if _, gone := s.head(ctx, s.prefix+name); gone != nil && absent(gone) {
		return nil // some servers fail to remove what is not there
	}
	return fmt.Errorf("delete %s: %w", name, s.explain(err))
}

// deleteBatch removes up to a thousand objects; one by one where the server does
// not know the request, or wants a checksum of it that is out of date.
func (s *Store) deleteBatch(ctx context.Context, names []string) error {
	keys := make([]types.ObjectIdentifier, len(names))
	for i, name := range names {
		keys[i].Key = aws.String(s.prefix + name)
	}
	var out *s3.DeleteObjectsOutput
	err := s.do(ctx, 0, func(ctx context.Context) (err error) {
		out, err = s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: s.bucket, Delete: &types.Delete{Objects: keys, Quiet: aws.Bool(true)}})
		return err
	})
	switch {
	case unknownRequest(err):
		return s.deleteEach(ctx, names)
	case err != nil:
		return fmt.Errorf("delete %d objects: %w", len(names), s.explain(err))
	}
	return s.deleteAgain(ctx, out.Errors)
}

// deleteAgain tries the keys of a batch that the server could not remove, one by
// one, so that each is tried as often as others and says for itself why not.
func (s *Store) deleteAgain(ctx context.Context, failed []types.Error) error {
	names := make([]string, len(failed))
	for i, f := range failed {
		names[i] = strings.TrimPrefix(aws.ToString(f.Key), s.prefix)
	}
	return s.deleteEach(ctx, names)
}

// deleteEach removes objects with a request each, and goes on after a failure.
func (s *Store) deleteEach(ctx context.Context, names []string) error {
	var group errgroup.Group
	group.SetLimit(s.gate.max)
	errs := make([]error, len(names))
	for i, name := range names {
		group.Go(func() error {
			errs[i] = s.deleteOne(ctx, name)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errors.Join(errs...)
}

// Tidy aborts uploads that nobody has written to since a time. See [blob.Store].
func (s *Store) Tidy(ctx context.Context, before time.Time) (tidied blob.Tidied, err error) {
	for u, err := range s.uploads(ctx, s.prefix) {
		if isCode(err, codeNoUpload) { // rclone, when there is none
			break
		}
		if err != nil {
			return tidied, fmt.Errorf("list unfinished uploads: %w", s.explain(err))
		}
		name := strings.TrimPrefix(aws.ToString(u.Key), s.prefix)
		if blob.CheckName(name) != nil || !aws.ToTime(u.Initiated).Before(before) {
			continue
		}
		bytes, err := s.tidy(ctx, u, before)
		if err != nil {
			return tidied, fmt.Errorf("remove unfinished upload of %s: %w", name, s.explain(err))
		}
		if bytes >= 0 {
			tidied.Uploads++
			tidied.Bytes += bytes
		}
	}
	return tidied, nil
}

// tidy aborts an upload and returns the bytes that it took, or -1 where it is in
// use: it has a part that is younger, or is gone meanwhile.
func (s *Store) tidy(ctx context.Context, u types.MultipartUpload, before time.Time) (bytes int64, err error) {
	for part, err := range s.storedParts(ctx, *u.Key, *u.UploadId) {
		switch {
		case isCode(err, codeNoUpload):
			return -1, nil
		case err != nil:
			return 0, err
		case !aws.ToTime(part.LastModified).Before(before):
			return -1, nil
		}
		bytes += aws.ToInt64(part.Size)
	}
	return bytes, s.abort(ctx, *u.Key, *u.UploadId)
}
