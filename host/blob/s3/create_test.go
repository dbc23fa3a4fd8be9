package s3_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/s3"
)

// requirePayload asserts that a body travels plain, with our checksum and without
// any hash of it.
func requirePayload(t *testing.T, r request, length int) {
	t.Helper()
	assert.EqualValues(t, length, r.length)
	assert.Equal(t, "UNSIGNED-PAYLOAD", r.header.Get("X-Amz-Content-Sha256"))
	assert.Len(t, r.header.Get("X-Amz-Checksum-Crc32c"), 8)
	assert.Contains(t, r.header.Get("Authorization"), "x-amz-checksum-crc32c", "the checksum is signed")
	for _, name := range []string{"Content-Encoding", "X-Amz-Trailer", "X-Amz-Decoded-Content-Length", "Transfer-Encoding"} {
		assert.Empty(t, r.header.Get(name), name)
	}
}

func TestSmallCreateIsOneRequest(t *testing.T) {
	s, p, _ := behind(t)
	for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, partSize} {
		content := random(1, size)
		name := "o/" + strings.Repeat("x", size%7+1)
		p.do(func(string) fault { return pass })
		require.NoError(t, put(t.Context(), s, name, content))
		require.Equal(t, []string{"put"}, p.ops())
		sent := p.onlyOne(t, "put")
		requirePayload(t, sent, size)
		require.Equal(t, "*", sent.header.Get("If-None-Match"))
		requireContent(t, s, name, content)
		require.NoError(t, s.Delete(t.Context(), name))
	}
}

func TestLargeCreateIsMultipart(t *testing.T) {
	s, p, _ := behind(t)
	content := random(1, partSize+1)
	require.NoError(t, put(t.Context(), s, "large", content))
	require.Equal(t, "FULL_OBJECT", p.onlyOne(t, "begin").header.Get("X-Amz-Checksum-Type"))
	require.Equal(t, "*", p.onlyOne(t, "complete").header.Get("If-None-Match"))
	require.Equal(t, 2, p.count("part"))
	for _, r := range p.seen {
		if r.op == "part" {
			requirePayload(t, r, int(r.length))
		}
	}
	requireContent(t, s, "large", content)
}

func TestPartsReachFiveTebibytes(t *testing.T) {
	s := s3.NewForSizes(s3.DefaultPartSize)
	var total int64
	for n := range int32(10_000) {
		size := s.PartBytes(n + 1)
		require.LessOrEqual(t, size, int64(5<<30))
		total += size
	}
	require.GreaterOrEqual(t, total, int64(5<<40))
	require.EqualValues(t, s3.DefaultPartSize, s.PartBytes(1))
}

// Headers by which a creator knows its object again.
var (
	metadata  = []string{"X-Amz-Meta-Rocksnap-Attempt"}
	checksums = []string{"X-Amz-Meta-Rocksnap-Attempt", "X-Amz-Checksum-Crc32c", "X-Amz-Checksum-Type"}
)

// lost are ways in which the answer to a write can go lost.
var lost = []struct {
	name   string
	faults []fault  // of the first writes
	always bool     // the first fault is that of all
	strip  []string // headers that answers lack
	rival  byte     // seed of what somebody else creates meanwhile; the object's is 1
	want   error
}{
	{"done, answer lost", []fault{lose}, false, nil, 0, nil},
	{"lost twice", []fault{lose, lose}, false, nil, 0, nil},
	{"not done", []fault{drop}, false, nil, 0, nil},
	{"internal error", []fault{refuse(500, "InternalError")}, false, nil, 0, nil},
	{"no metadata", []fault{lose}, false, metadata, 0, nil},
	{"no metadata and no checksum", []fault{lose}, false, checksums, 0, nil},
	{"not done, then a rival", []fault{drop}, false, nil, 2, fs.ErrExist},
	{"a rival with equal bytes", []fault{drop}, false, nil, 1, fs.ErrExist},
	{"a rival, no metadata", []fault{drop}, false, metadata, 2, fs.ErrExist},
	{"a rival, no metadata and no checksum", []fault{drop}, false, checksums, 2, fs.ErrExist},
	{"every answer lost", []fault{lose}, true, nil, 0, nil},
	{"never done", []fault{drop}, true, nil, 0, blob.ErrUnknownOutcome},
	{"conflict", []fault{refuse(409, "ConditionalRequestConflict")}, false, nil, 0, nil},
}

func TestLostAnswers(t *testing.T) {
	s, p, direct := behind(t)
	for write, size := range map[string]int{"put": 1000, "complete": 2 * partSize} {
		content := random(1, size)
		for _, test := range lost {
			t.Run(write+" "+test.name, func(t *testing.T) {
				p.change(func(r *http.Response) {
					for _, name := range test.strip {
						r.Header.Del(name)
					}
				})
				plan := first(write, test.faults...)
				if test.always {
					plan = always(test.faults[0], write)
				}
				p.do(func(op string) fault {
					f := plan(op)
					if f == drop && test.rival != 0 {
						assert.NoError(t, put(t.Context(), direct, "name", random(test.rival, size)))
					}
					return f
				})
				err := put(t.Context(), s, "name", content)
				if write == "complete" && test.rival == 1 { // the rival went on with our upload
					test.want = nil
				}
				require.ErrorIs(t, err, test.want)
				if err == nil {
					requireContent(t, direct, "name", content)
				}
				require.NoError(t, direct.Delete(t.Context(), "name"))
			})
		}
	}
}

// TestNothingCanBeReadBack: then nobody knows.
func TestNothingCanBeReadBack(t *testing.T) {
	s, p, _ := behind(t)
	p.do(always(lose, "put", "complete", "head"))
	require.ErrorIs(t, put(t.Context(), s, "small", "x"), blob.ErrUnknownOutcome)
	require.ErrorIs(t, put(t.Context(), s, "large", random(1, 2*partSize)), blob.ErrUnknownOutcome)
	require.Zero(t, p.count("abort"))
	require.Equal(t, []string{"large", "small"}, names(t, s))
}

// TestRefused: what is refused for good is tried once.
func TestRefused(t *testing.T) {
	s, p, _ := behind(t)
	p.do(always(refuse(400, "InvalidArgument"), "put", "begin", "get", "head", "list", "delete"))
	err := put(t.Context(), s, "a", "x")
	require.EqualError(t, err, "create a: as planned (HTTP 400 InvalidArgument)")
	require.Error(t, put(t.Context(), s, "a", random(1, 2*partSize)))
	require.Error(t, openErr(t.Context(), s, "a"))
	require.Equal(t, []string{"put", "uploads", "begin", "get"}, p.ops())
	require.NotErrorIs(t, err, blob.ErrUnknownOutcome)
}

func openErr(ctx context.Context, s *s3.Store, name string) error {
	_, err := s.Open(ctx, name, 0, -1)
	return err
}

// TestTakenIsAnsweredOnce: without a lost answer nothing is read back.
func TestTakenIsAnsweredOnce(t *testing.T) {
	s, p, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "a", "first"))
	p.do(func(string) fault { return pass })
	require.ErrorIs(t, put(t.Context(), s, "a", "second"), fs.ErrExist)
	require.Equal(t, []string{"put"}, p.ops())
}

// TestCancelInFlight cancels while the server has the request.
func TestCancelInFlight(t *testing.T) {
	s, p, _ := behind(t)
	for _, test := range []struct {
		name string
		f    fault
		want []error
	}{
		{"done", hold, nil},
		{"notdone", stall, []error{blob.ErrUnknownOutcome, context.Canceled}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p.do(func(op string) fault {
			if op == "put" {
				time.AfterFunc(200*time.Millisecond, cancel)
				return test.f
			}
			return pass
		})
		err := put(ctx, s, test.name, "content")
		if test.want == nil {
			require.NoError(t, err, "it is there, so it was created")
			requireContent(t, s, test.name, "content")
		}
		for _, want := range test.want {
			require.ErrorIs(t, err, want)
		}
	}
}

// TestReaderFails: the upload of a body that broke is of no use to anyone.
func TestReaderFails(t *testing.T) {
	s, p, _ := behind(t)
	broken := errors.New("broken")
	for _, last := range []error{broken, io.ErrUnexpectedEOF} {
		body := io.MultiReader(strings.NewReader(random(1, 3*partSize)), iotest.ErrReader(last))
		p.do(func(string) fault { return pass })
		require.ErrorIs(t, s.Create(t.Context(), "a", body), last)
		require.Equal(t, 1, p.count("abort"))
		require.ErrorIs(t, s.Create(t.Context(), "a", io.MultiReader(strings.NewReader("short"), iotest.ErrReader(last))), last)
	}
	require.Empty(t, names(t, s))
	requireTidied(t, s, 0, 0)
}

// requireTidied asserts what is left of uploads that did not end.
func requireTidied(t *testing.T, s *s3.Store, uploads int, bytes int64) {
	t.Helper()
	tidied, err := s.Tidy(t.Context(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, blob.Tidied{Uploads: uploads, Bytes: bytes}, tidied)
}

// TestSingleWriter: without conditions the name is looked at first.
func TestSingleWriter(t *testing.T) {
	s, p, _ := behind(t, func(o *s3.Options) { o.SingleWriter = true })
	p.do(func(string) fault { return pass })
	require.NoError(t, put(t.Context(), s, "a", "first"))
	require.Equal(t, []string{"head", "put"}, p.ops())
	require.Empty(t, p.onlyOne(t, "put").header.Get("If-None-Match"))
	require.ErrorIs(t, put(t.Context(), s, "a", "second"), fs.ErrExist)
	large := random(1, 2*partSize)
	require.NoError(t, put(t.Context(), s, "b", large))
	require.ErrorIs(t, put(t.Context(), s, "b", random(2, 2*partSize)), fs.ErrExist)
	requireContent(t, s, "a", "first")
	requireContent(t, s, "b", large)
}

// TestMemory lets many more calls run than there is memory for, creates that read
// from the same store among them.
func TestMemory(t *testing.T) {
	s, _, direct := behind(t, func(o *s3.Options) { o.Memory, o.Requests = partSize, 2 })
	content := random(1, 2*partSize+7)
	require.NoError(t, put(t.Context(), direct, "source", content))
	var copies sync.WaitGroup
	for i := range 6 {
		copies.Go(func() {
			r, err := s.Open(t.Context(), "source", 0, -1)
			if assert.NoError(t, err) {
				assert.NoError(t, s.Create(t.Context(), "copy"+string(rune('0'+i)), r))
				assert.NoError(t, r.Close())
			}
		})
	}
	copies.Wait()
	for i := range 6 {
		requireContent(t, s, "copy"+string(rune('0'+i)), content)
	}
}

// TestSlowDown: the limit falls by half for a storm, not for each of its
// requests, and comes back.
func TestSlowDown(t *testing.T) {
	s, p, _ := behind(t)
	require.Equal(t, s3.DefaultRequests, s.Stats().Limit)
	p.do(first("put", slowDown()))
	require.NoError(t, put(t.Context(), s, "a", "x"))
	require.Equal(t, s3.DefaultRequests/2, s.Stats().Limit)
	require.EqualValues(t, 1, s.Stats().Retries)
	p.do(first("head", refuse(http.StatusTooManyRequests, "TooManyRequests")))
	for range 200 {
		_, err := s.Stat(t.Context(), "a")
		require.NoError(t, err)
	}
	require.Equal(t, s3.DefaultRequests, s.Stats().Limit)

	left := 30
	p.do(func(op string) fault {
		if left--; left > 0 {
			return slowDown()
		}
		return pass
	})
	var calls sync.WaitGroup
	for range 40 {
		calls.Go(func() {
			_, err := s.Stat(t.Context(), "a")
			assert.NoError(t, err)
		})
	}
	calls.Wait()
	require.Positive(t, s.Stats().Limit)
	require.Less(t, s.Stats().Limit, s3.DefaultRequests)
}
