package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/blob"
)

// attemptKey names the metadata of an object by which its creator knows it again.
const attemptKey = "rocksnap-attempt"

// The reading back after a lost answer, for about 25 s: the request may still be
// on its way, or the server be putting parts together. It does not end with the
// call: "perhaps" is worse for the caller than an answer that comes late.
const (
	lookTime  = 30 * time.Second
	lookTries = 9
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Create stores an object. See [blob.Store]. A body that fits into one part is
// collected before anything is sent, because S3 wants to know its size.
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.create(ctx, name, r); err != nil {
		return fmt.Errorf("create %s: %w", name, s.explain(err))
	}
	return nil
}

func (s *Store) create(ctx context.Context, name string, r io.Reader) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	src := newSource(ctx, r)
	defer src.close()
	body, whole, err := src.head()
	switch {
	case err != nil:
		return err
	case whole:
		return s.put(ctx, s.prefix+name, body)
	}
	first, err := s.memory.take(ctx, s.firstBytes(blob.Length(r)))
	if err != nil {
		return err
	}
	ended, err := src.fill(first)
	if err == nil && !ended {
		return s.createLarge(ctx, s.prefix+name, src, first)
	}
	defer s.memory.give(first)
	if err != nil {
		return err
	}
	return s.put(ctx, s.prefix+name, first.data)
}

// firstBytes returns the size of the first buffer for a body of some length, -1 for
// an unknown one. What is not much longer than a part goes into one buffer, and so
// into one request: to put parts together costs a server, and a round trip, more
// than it brings.
func (s *Store) firstBytes(length int64) int64 {
	if length > s.partSize && !s.Resumes(length) {
		return (length + roundTo - 1) / roundTo * roundTo
	}
	return s.partBytes(1)
}

// put creates an object with one request.
func (s *Store) put(ctx context.Context, key string, body []byte) error {
	unlock, err := s.alone(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	sum := crc32.Checksum(body, castagnoli)
	c := claim{key: key, attempt: uuid.NewString(), size: int64(len(body)), sum: sum}
	w := call{s: s}
	err = w.do(ctx, c.size, func(ctx context.Context) error {
		p := &payload{bytes: bytes.NewReader(body)}
		defer p.stop()
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.bucket, Key: &key, IfNoneMatch: s.ifFree(),
			Body: p, ContentLength: &c.size, ChecksumCRC32C: encodeSum(sum),
			Metadata: map[string]string{attemptKey: c.attempt},
		}, s.upload...)
		return err
	})
	return s.settle(ctx, c, w.unsure, err)
}

// ifFree returns the condition of a write.
func (s *Store) ifFree() *string {
	if s.single != nil {
		return nil
	}
	return aws.String("*")
}

// checkFree fails with fs.ErrExist where a key is taken.
func (s *Store) checkFree(ctx context.Context, key string) error {
	_, err := s.head(ctx, key)
	switch {
	case err == nil:
		return fs.ErrExist
	case absent(err):
		return nil
	}
	return err
}

// claim is what a creator knows of the object it tries to create.
type claim struct {
	key     string
	attempt string // its id; empty where an upload of somebody else was continued
	size    int64
	sum     uint32 // CRC32C
}

// settle turns the end of a conditional write into one of the outcomes of Create.
// unsure says that an answer was lost; then only the object itself can tell. So it
// is where the upload is gone, which somebody else has completed or removed, and
// where a server may have said so to nobody: see [cutOff].
func (s *Store) settle(ctx context.Context, c claim, unsure bool, err error) error {
	switch {
	case err == nil:
		return nil
	case !unsure && taken(err):
		return fs.ErrExist
	case !unsure && !isCode(err, codeNoUpload, codeBadPart) && !cutOff(err):
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	mine, lookErr := s.look(ctx, c)
	switch {
	case lookErr == nil && mine && unsure:
		return nil
	case lookErr == nil:
		return fs.ErrExist
	case !unsure: // the upload is gone: it can never be completed
		return err
	}
	return fmt.Errorf("%w: %w (and reading back: %w)", blob.ErrUnknownOutcome, s.explain(err), s.explain(lookErr))
}

// look waits for an object that may come, and reports whether it is the one that
// was sent.
func (s *Store) look(ctx context.Context, c claim) (mine bool, err error) {
	for n := 1; ; n++ {
		mine, err = s.owns(ctx, c)
		if err == nil || !absent(err) || n == lookTries || sleep(ctx, s.pause, n) != nil {
			return mine, err
		}
	}
}

// owns reports whether the object that is there is the one that was sent: by the
// id of the attempt, or by size and content where the server has lost that.
func (s *Store) owns(ctx context.Context, c claim) (bool, error) {
	head, err := s.head(ctx, c.key)
	if err != nil {
		return false, err
	}
	attempt := head.Metadata[attemptKey]
	switch {
	case c.attempt != "" && attempt != "":
		return attempt == c.attempt, nil
	case aws.ToInt64(head.ContentLength) != c.size:
		return false, nil
	}
	if sum := wholeSum(head.ChecksumCRC32C, head.ChecksumType); sum != nil {
		return *sum == c.sum, nil
	}
	sum, err := s.readSum(ctx, c.key)
	return sum == c.sum, err
}

// readSum reads an object for its CRC32C.
func (s *Store) readSum(ctx context.Context, key string) (uint32, error) {
	r, err := s.open(ctx, key, 0, -1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := crc32.New(castagnoli)
	_, err = io.Copy(sum, r)
	return sum.Sum32(), err
}

// encodeSum writes a checksum as the headers of S3 do.
func encodeSum(sum uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)))
}

// wholeSum reads the checksum of an object, and returns nil where it is one of
// the checksums of its parts: those have "-" and their number behind them.
func wholeSum(text *string, kind types.ChecksumType) *uint32 {
	if kind == types.ChecksumTypeComposite || strings.Contains(aws.ToString(text), "-") {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(text))
	if err != nil || len(raw) != 4 {
		return nil
	}
	sum := binary.BigEndian.Uint32(raw)
	return &sum
}
