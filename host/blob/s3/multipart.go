package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Limits of a multipart upload, from the S3 user guide ("Amazon S3 multipart
// upload limits"). With growth as it is, 10,000 parts of 16 MiB and more hold
// 5.2 TiB, and an object of 64 GiB has parts of up to 114 MiB.
const (
	maxParts  = 10_000
	growth    = 150     // parts until they are larger by the size of the first
	alignment = 1 << 20 // bytes, of the sizes in between

	singleParts = 4       // as long as so many first parts is what is still sent in one request
	roundTo     = 4 << 20 // bytes; buffers of about one size are used again for each other
)

// completeTime is how long a server may take to put the parts together.
const completeTime = 10 * time.Minute

// partBytes returns the size of the n-th part, which depends on nothing else, so
// that a later Create cuts the same bytes into the same parts.
func (s *Store) partBytes(n int32) int64 {
	return s.partSize + s.partSize*int64(n-1)/growth/alignment*alignment
}

// Resumes says whether a body of known length is sent in parts. See [blob.Resumer].
func (s *Store) Resumes(size int64) bool {
	return size > singleParts*s.partSize || size > s.memory.budget
}

// upload is a multipart upload that is under way.
type upload struct {
	s    *Store
	id   string
	have map[int32]types.Part // that an earlier Create has stored

	claim // grows with each part that was read

	mu    sync.Mutex
	parts []types.CompletedPart
}

// createLarge sends a body in parts. It takes over the first one.
func (s *Store) createLarge(ctx context.Context, key string, src *source, first *buffer) error {
	up, err := s.begin(ctx, key, first.data)
	if err != nil {
		s.memory.give(first)
		return err
	}
	if err := up.send(ctx, src, first); err != nil {
		up.leave(ctx, err)
		return s.settle(ctx, up.claim, false, err)
	}
	return up.complete(ctx)
}

// begin goes on with an unfinished upload of the key that begins with the same
// part, or starts one.
func (s *Store) begin(ctx context.Context, key string, first []byte) (*upload, error) {
	up, err := s.unfinished(ctx, key, first)
	if up != nil || ctx.Err() != nil {
		return up, ctx.Err()
	}
	if err != nil { // a server that cannot say, or may not
		s.log.Debug("unfinished uploads are not known", "key", key, "error", s.explain(err))
	}
	up = &upload{s: s, claim: claim{key: key, attempt: uuid.NewString()}}
	err = s.do(ctx, 0, func(ctx context.Context) error {
		out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: s.bucket, Key: &key,
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
			Metadata: map[string]string{attemptKey: up.attempt},
		})
		if err == nil {
			up.id = aws.ToString(out.UploadId)
		}
		return err
	})
	return up, err
}

// unfinished returns the newest upload of exactly this key whose first part is
// the same, and nil where there is none. The others are of other bytes: a living
// creator may be at work on one of them.
func (s *Store) unfinished(ctx context.Context, key string, first []byte) (*upload, error) {
	var found []types.MultipartUpload
	for u, err := range s.uploads(ctx, key) {
		if err != nil {
			return nil, err
		}
		if aws.ToString(u.Key) == key {
			found = append(found, u)
		}
	}
	slices.SortFunc(found, func(a, b types.MultipartUpload) int {
		return cmp.Compare(aws.ToTime(b.Initiated).UnixNano(), aws.ToTime(a.Initiated).UnixNano())
	})
	for _, u := range found {
		up := &upload{s: s, id: aws.ToString(u.UploadId), claim: claim{key: key}, have: make(map[int32]types.Part)}
		for part, err := range s.storedParts(ctx, key, up.id) {
			if err != nil {
				return nil, err
			}
			up.have[aws.ToInt32(part.PartNumber)] = part
		}
		if same(up.have[1], first, crc32.Checksum(first, castagnoli)) {
			return up, nil
		}
	}
	return nil, nil
}

// same reports that a stored part is of these bytes. A server that tells no
// checksum of parts leaves nothing to go on with.
func same(part types.Part, data []byte, sum uint32) bool {
	return aws.ToInt64(part.Size) == int64(len(data)) && aws.ToString(part.ChecksumCRC32C) == *encodeSum(sum)
}

// send stores all parts, as many at once as there is memory for. When the body
// breaks, the parts that are on their way still come to an end: one that arrives
// after its upload was removed may stay for ever.
func (u *upload) send(ctx context.Context, src *source, first *buffer) error {
	group, ctx := errgroup.WithContext(ctx)
	broken := u.read(ctx, group, src, first)
	if err := group.Wait(); err != nil {
		return err
	}
	return broken
}

// read cuts the body into parts and starts the sending of each.
func (u *upload) read(ctx context.Context, group *errgroup.Group, src *source, part *buffer) error {
	ended := false
	for n := int32(1); ; n++ {
		sum := crc32.Checksum(part.data, castagnoli)
		u.size += int64(len(part.data))
		u.sum = crc32.Update(u.sum, castagnoli, part.data)
		ready := part
		group.Go(func() error {
			defer u.s.memory.give(ready)
			return u.store(ctx, n, ready.data, sum)
		})
		switch {
		case ended:
			return nil
		case n == maxParts:
			return fmt.Errorf("object is larger than %d bytes", u.size)
		}
		var err error
		if part, err = u.s.memory.take(ctx, u.s.partBytes(n+1)); err != nil {
			return err
		}
		if ended, err = src.fill(part); err != nil {
			u.s.memory.give(part)
			return err
		}
	}
}

// store sends a part, unless it is there.
func (u *upload) store(ctx context.Context, n int32, data []byte, sum uint32) error {
	if part := u.have[n]; same(part, data, sum) {
		u.s.counts.resumed.Add(int64(len(data)))
		u.add(n, part.ETag, sum)
		return nil
	}
	return u.s.do(ctx, int64(len(data)), func(ctx context.Context) error {
		p := &payload{bytes: bytes.NewReader(data)}
		defer p.stop()
		out, err := u.s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: u.s.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &n,
			Body: p, ContentLength: aws.Int64(int64(len(data))), ChecksumCRC32C: encodeSum(sum),
		}, u.s.upload...)
		if err == nil {
			u.add(n, out.ETag, sum)
		}
		return err
	})
}

func (u *upload) add(n int32, etag *string, sum uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{PartNumber: &n, ETag: etag, ChecksumCRC32C: encodeSum(sum)})
}

// complete makes the object of the parts that were sent, and of no others: where
// somebody else has stored one of that number since, its ETag differs and the
// server refuses.
func (u *upload) complete(ctx context.Context) error {
	unlock, err := u.s.alone(ctx, u.key)
	if err != nil {
		u.leave(ctx, err)
		return err
	}
	defer unlock()
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return cmp.Compare(*a.PartNumber, *b.PartNumber) })
	w := call{s: u.s, wait: completeTime}
	err = w.do(ctx, 0, func(ctx context.Context) error {
		_, err := u.s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: u.s.bucket, Key: &u.key, UploadId: &u.id, IfNoneMatch: u.s.ifFree(),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
			ChecksumCRC32C:  encodeSum(u.sum), ChecksumType: types.ChecksumTypeFullObject, MpuObjectSize: &u.size,
		})
		return err
	})
	err = u.s.settle(ctx, u.claim, w.unsure, err)
	if err != nil && !errors.Is(err, blob.ErrUnknownOutcome) {
		u.leave(ctx, err)
	}
	return err
}

// leave ends an upload that came to nothing. Where the caller or the server went
// away, what is stored stays for the next Create to go on with; otherwise it is
// removed, as well as that can be done.
func (u *upload) leave(ctx context.Context, err error) {
	u.mu.Lock()
	stored := len(u.parts)+len(u.have) > 0
	u.mu.Unlock()
	if stored && (ctx.Err() != nil || interrupted(err)) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	if err := u.s.abort(ctx, u.key, u.id); err != nil {
		u.s.log.Debug("unfinished upload stays until it is tidied", "key", u.key, "error", u.s.explain(err))
	}
}

// abort removes an upload and its parts. One that is gone already is no error.
func (s *Store) abort(ctx context.Context, key, id string) error {
	err := s.do(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket, Key: &key, UploadId: &id})
		return err
	})
	if isCode(err, codeNoUpload) {
		return nil
	}
	return err
}
