package s3

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// readAhead is how many chunks of an object are on their way at once.
const readAhead = 4

// Open reads a range of an object. See [blob.Store]. The first MiB is there when
// it returns; the rest comes in chunks, several at once. A chunk that is cut in
// the middle is asked for again from where it ended. The reader fails once ctx is
// cancelled; it is not safe for concurrent use.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := check(ctx, name); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	if offset < 0 || length < -1 {
		return nil, fmt.Errorf("open %s: range %d+%d: %w", name, offset, length, fs.ErrInvalid)
	}
	r, err := s.open(ctx, s.prefix+name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, s.explain(err))
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 || offset > math.MaxInt64-headSize {
		return s.openNothing(ctx, key, offset, length)
	}
	first := &chunk{at: offset, want: headSize}
	if length > 0 {
		first.want = min(length, headSize)
	}
	r := &reader{s: s, key: key, now: first}
	if err := r.fetch(ctx, first); beyond(err) {
		return s.openNothing(ctx, key, offset, length)
	} else if err != nil {
		return nil, err
	}
	r.next, r.end, r.last = offset+int64(len(first.buf.data)), r.size, io.EOF
	switch {
	case length > r.size-offset:
		r.last = io.ErrUnexpectedEOF
	case length > 0:
		r.end = offset + length
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r, nil
}

// openNothing answers for ranges that no request can express or that have no
// byte: they may be right, or begin behind the end.
func (s *Store) openNothing(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return nil, err
	}
	size := aws.ToInt64(head.ContentLength)
	if offset > size || length > size-offset {
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, size, io.ErrUnexpectedEOF)
	}
	return io.NopCloser(strings.NewReader("")), nil
}

// chunk is a stretch of an object on its way out.
type chunk struct {
	at, want int64
	buf      *buffer // nil until the size of the object is known
	got      int64
	err      error
	done     chan struct{} // closed when it has come, or failed
}

// reader reads an object chunk by chunk.
type reader struct {
	s      *Store
	ctx    context.Context
	cancel context.CancelFunc
	key    string
	etag   *string // of the first chunk, and so of all
	size   int64   // of the object
	next   int64   // where the next chunk begins
	end    int64   // where the last one ends
	last   error   // what comes then
	now    *chunk  // being read; its data shrinks
	ahead  []*chunk
}

// fetch gets the bytes of a chunk, in as many pieces as they come.
func (r *reader) fetch(ctx context.Context, c *chunk) error {
	return r.s.do(ctx, c.want-c.got, func(ctx context.Context) error {
		in := &s3.GetObjectInput{Bucket: r.s.bucket, Key: &r.key, IfMatch: r.etag, Range: byteRange(c.at+c.got, c.want-c.got)}
		if c.at == 0 && r.next == 0 { // it may turn out to be the whole object
			in.ChecksumMode = types.ChecksumModeEnabled
		}
		out, err := r.s.client.GetObject(ctx, in)
		if err != nil {
			return err
		}
		defer out.Body.Close()
		if err := r.learn(c, out); err != nil {
			return err
		}
		n, err := io.ReadFull(out.Body, c.buf.data[c.got:])
		if c.got += int64(n); err != nil {
			return err
		}
		return r.prove(c, out)
	})
}

func byteRange(at, length int64) *string {
	return aws.String(fmt.Sprintf("bytes=%d-%d", at, at+length-1))
}

var (
	errRange    = errors.New("the server does not honour ranges")
	errChecksum = errors.New("checksum of the server does not match what it sent")
)

// learn takes the size of the object from the first answer.
func (r *reader) learn(c *chunk, out *s3.GetObjectOutput) error {
	_, total, ranged := strings.Cut(aws.ToString(out.ContentRange), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if !ranged && c.at+c.got == 0 { // everything
		size, err = aws.ToInt64(out.ContentLength), nil
	}
	if err != nil {
		return fmt.Errorf("%w: content range %q", errRange, aws.ToString(out.ContentRange))
	}
	if c.buf == nil {
		r.etag, r.size = out.ETag, size
		c.want = max(min(c.want, r.size-c.at), 0)
		c.buf = headChunk()
		c.buf.data = c.buf.space[:c.want]
	}
	return nil
}

// prove compares the checksum of an object that came in one piece.
func (r *reader) prove(c *chunk, out *s3.GetObjectOutput) error {
	sum := wholeSum(out.ChecksumCRC32C, out.ChecksumType)
	if c.got != r.size || sum == nil || *sum == crc32.Checksum(c.buf.data, castagnoli) {
		return nil
	}
	c.got = 0
	return errChecksum
}

// Read waits for the chunk that is next.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.now.buf.data) == 0 {
		if err := r.step(); err != nil {
			return 0, err
		}
	}
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.name(), err)
	}
	n := copy(p, r.now.buf.data)
	r.now.buf.data = r.now.buf.data[n:]
	return n, nil
}

// step goes on to the next chunk.
func (r *reader) step() error {
	r.s.memory.give(r.now.buf)
	r.now.buf = &buffer{}
	r.askAhead()
	if len(r.ahead) == 0 {
		return r.last
	}
	c := r.ahead[0]
	<-c.done // at the latest when ctx is cancelled
	if c.err != nil {
		return fmt.Errorf("read %s: %w", r.name(), r.s.explain(c.err))
	}
	r.now, r.ahead = c, r.ahead[1:]
	return nil
}

// askAhead asks for chunks as far as the budget goes, but for one in any case.
func (r *reader) askAhead() {
	for len(r.ahead) < readAhead && r.next < r.end && r.ctx.Err() == nil {
		buf := r.s.memory.tryChunk()
		if buf == nil && len(r.ahead) > 0 {
			return
		}
		if buf == nil {
			buf = headChunk()
		}
		want := min(int64(len(buf.space)), r.end-r.next)
		buf.data = buf.space[:want]
		c := &chunk{at: r.next, want: want, buf: buf, done: make(chan struct{})}
		r.next += want
		r.ahead = append(r.ahead, c)
		go func() {
			defer close(c.done)
			c.err = r.fetch(r.ctx, c)
		}()
	}
}

// Close ends the requests that are under way and gives their buffers back.
func (r *reader) Close() error {
	r.cancel()
	r.s.memory.give(r.now.buf)
	r.now.buf, r.last = &buffer{}, fs.ErrClosed
	for _, c := range r.ahead {
		<-c.done
		r.s.memory.give(c.buf)
	}
	r.ahead, r.next = nil, r.end
	return nil
}

func (r *reader) name() string { return strings.TrimPrefix(r.key, r.s.prefix) }
