package s3_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// fault is what happens to a request on its way to the real server and back.
type fault int

const (
	pass  fault = iota
	drop        // the request never arrives
	lose        // it is done, and the answer is lost
	cut         // the answer ends in the middle of its body
	stall       // it never arrives, and nobody says so
	hold        // it is done, and the answer never comes
)

// What a server says instead of doing anything.
func slowDown() fault { return refuse(http.StatusServiceUnavailable, "SlowDown") }
func refuse(status int, code string) fault {
	return fault(status) + 1000*fault(slices.Index(codes, code))
}

var codes = []string{"", "SlowDown", "ConditionalRequestConflict", "InternalError", "NotImplemented", "BadGateway", "MissingContentMD5", "TooManyRequests", "InvalidArgument",
	"AccessDenied", "InvalidAccessKeyId", "RequestTimeTooSkewed", "PermanentRedirect", "NoSuchBucket"}

// request is one that the proxy has seen.
type request struct {
	op     string // see opOf
	header http.Header
	length int64
}

// proxy stands before the real server and does to each request what the plan
// says. Plans are asked for one request at a time.
type proxy struct {
	*httptest.Server

	mu    sync.Mutex
	plan  func(op string) fault
	edit  func(*http.Response) // changes answers
	seen  []request
	ended map[string]int // requests that were answered
}

// opOf names what a request does.
func opOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("partNumber"):
		return "part"
	case r.Method == "POST" && q.Has("uploads"):
		return "begin"
	case r.Method == "POST" && q.Has("uploadId"):
		return "complete"
	case r.Method == "POST" && q.Has("delete"):
		return "delete many"
	case r.Method == "DELETE" && q.Has("uploadId"):
		return "abort"
	case q.Has("uploads"):
		return "uploads"
	case q.Has("uploadId"):
		return "parts"
	case q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

// newProxy puts a proxy before a server. The caller starts it.
func newProxy(t *testing.T, server storetest.Server) *proxy {
	t.Helper()
	behind, err := url.Parse(server.Endpoint)
	require.NoError(t, err)
	p := &proxy{plan: func(string) fault { return pass }, edit: func(*http.Response) {}, ended: make(map[string]int)}
	through := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.edit(r)
			return nil
		},
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, through) }))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, through http.Handler) {
	switch f := p.decide(r); f {
	case pass:
		through.ServeHTTP(w, r)
		p.end(r)
	case drop:
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	case lose:
		through.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case cut:
		serveHalf(w, r, through)
	case stall:
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case hold:
		through.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		<-r.Context().Done()
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(int(f % 1000))
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as planned</Message></Error>", codes[f/1000])
	}
}

func serveHalf(w http.ResponseWriter, r *http.Request, through http.Handler) {
	whole := httptest.NewRecorder()
	through.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

func (p *proxy) decide(r *http.Request) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	op := opOf(r)
	p.seen = append(p.seen, request{op, r.Header.Clone(), r.ContentLength})
	return p.plan(op)
}

func (p *proxy) end(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended[opOf(r)]++
}

// done returns how many requests of a kind were answered.
func (p *proxy) done(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended[op]
}

// do sets the plan and forgets what was seen.
func (p *proxy) do(plan func(op string) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.seen, p.ended = plan, nil, make(map[string]int)
}

// first makes the first requests of a kind fail, each as said.
func first(op string, faults ...fault) func(string) fault {
	return func(got string) fault {
		if got != op || len(faults) == 0 {
			return pass
		}
		f := faults[0]
		faults = faults[1:]
		return f
	}
}

// always makes all requests of some kinds fail.
func always(f fault, ops ...string) func(string) fault {
	return func(op string) fault {
		if slices.Contains(ops, op) {
			return f
		}
		return pass
	}
}

// change changes all answers from now on.
func (p *proxy) change(edit func(*http.Response)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edit = edit
}

// ops returns what was seen.
func (p *proxy) ops() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ops []string
	for _, r := range p.seen {
		ops = append(ops, r.op)
	}
	return ops
}

func (p *proxy) count(op string) int {
	return len(slices.DeleteFunc(p.ops(), func(seen string) bool { return seen != op }))
}

// onlyOne returns the request of a kind, of which there must be one.
func (p *proxy) onlyOne(t *testing.T, op string) request {
	t.Helper()
	require.Equal(t, 1, p.count(op), "%v", p.ops())
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[slices.IndexFunc(p.seen, func(r request) bool { return r.op == op })]
}

// behind returns a store behind a proxy, with parts of the least size, and one
// that goes to the real server.
func behind(t *testing.T, set ...func(*s3.Options)) (*s3.Store, *proxy, *s3.Store) {
	t.Helper()
	return behindServer(t, storetest.Versity(t), set...)
}

func behindServer(t *testing.T, server storetest.Server, set ...func(*s3.Options)) (*s3.Store, *proxy, *s3.Store) {
	t.Helper()
	server.Env(t)
	p := newProxy(t, server)
	p.Start()
	o := server.Options()
	o.PartSize = partSize
	for _, f := range set {
		f(&o)
	}
	direct := open(t, o)
	o.Endpoint = p.URL
	return open(t, o), p, direct
}

const partSize = 5 << 20 // the least that S3 takes for a part that is not the last

// random returns n bytes that follow from a seed.
func random(seed byte, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return string(b)
}

func put(ctx context.Context, s *s3.Store, name, content string) error {
	return s.Create(ctx, name, struct{ io.Reader }{strings.NewReader(content)})
}

func get(t *testing.T, s *s3.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(content)
}

// requireContent asserts an object's content and the checksum that is told of it.
func requireContent(t *testing.T, s *s3.Store, name, want string) {
	t.Helper()
	require.True(t, get(t, s, name) == want, "content of %s", name)
	info, err := s.Stat(t.Context(), name)
	require.NoError(t, err)
	require.NotNil(t, info.CRC32C)
	require.Equal(t, crc32.Checksum([]byte(want), crc32.MakeTable(crc32.Castagnoli)), *info.CRC32C)
}

func names(t *testing.T, s *s3.Store) (names []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	return names
}
