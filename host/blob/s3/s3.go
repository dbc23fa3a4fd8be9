// Package s3 keeps objects in a bucket of a server that speaks S3: an object's
// name, behind the prefix of the store, is its key.
//
// It guarantees, on a server that honours If-None-Match for PutObject and for
// CompleteMultipartUpload:
//
//   - Of several creators of a name, on any machines, exactly one wins. Where an
//     answer was lost, the creator reads the object back and looks whether it
//     carries the id of its own attempt. (Two creators of the same large bytes
//     may come to share an upload, and then both believe that they won.)
//   - An object is seen complete or not at all. The server checks the CRC32C of
//     every part and of the whole before it shows it.
//   - A large Create that was killed or cancelled, or that lost the server, leaves
//     an upload which no other method shows. The next Create of the name with the
//     same bytes goes on with it; [Store.Tidy] removes what nobody went on with.
//
// Memory is bounded: each Create and each reader has one buffer of 1 MiB, and all
// others come from a budget. What does not fit into 1 MiB waits for the budget on
// its way in; on its way out it makes do without.
//
// Every request is tried again where that may help, with growing, jittered
// pauses. A server that asks to slow down halves the number of requests that run
// at once; each round of successes adds one again.
package s3

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/rocksnap/rocksnap/host/blob"
)

// What holds where [Options] say nothing.
const (
	DefaultRequests = 16
	DefaultMemory   = 128 << 20
	DefaultPartSize = 16 << 20
)

const (
	headSize  = 1 << 20 // bytes of the buffer that every call has
	maxPrefix = 500     // bytes; S3 takes keys of 1024
)

// ErrNoBucket reports that the server has no bucket of that name.
var ErrNoBucket = errors.New("no such bucket")

// Options say where a store is and what it may use. Credentials are not among
// them: they come from where AWS tools look for them.
type Options struct {
	Bucket       string
	Prefix       string       // of every key, without the slash behind it; may be empty
	Endpoint     string       // URL of the server; empty for what the AWS environment says, or AWS itself
	Region       string       // empty for what the AWS environment or profile says, or us-east-1
	PathStyle    bool         // the bucket goes into the path, not into the host name
	CAFile       string       // certificates, in PEM, that are trusted beside those of the system
	Requests     int          // that run at once; 0 for DefaultRequests
	Memory       int64        // bytes of buffers of all calls together, at least one part; 0 for DefaultMemory
	PartSize     int64        // bytes up to which an object is sent in one request, four times that where its length is known, and of the first parts of others; 0 for DefaultPartSize
	SingleWriter bool         // the server knows no If-None-Match; two processes that create one name may both win
	Log          *slog.Logger // of retries and limits; nil for none
}

// Store is a [blob.Store] in a bucket. It is safe for concurrent use by any
// number of goroutines and processes.
type Store struct {
	client   *s3.Client
	upload   []func(*s3.Options) // of requests with a payload
	bucket   *string
	prefix   string // of keys, with its slash
	endpoint string
	partSize int64
	memory   *memory
	gate     *gate
	log      *slog.Logger
	pause    time.Duration   // before the second try
	single   *[64]sync.Mutex // of names by their checksum; nil where the server decides who wins
	counts   counts
	warned   atomic.Int64 // when people were last told that requests fail, in ns
}

var _ interface {
	blob.Store
	blob.Resumer
} = (*Store)(nil)

type counts struct{ requests, retries, resumed atomic.Int64 }

// Stats counts what a store has done since it was opened.
type Stats struct {
	Requests int64 // tries included
	Retries  int64
	Resumed  int64 // bytes that an earlier Create had stored
	Limit    int   // requests that may run at once now
}

// Stats returns the counts as they are now.
func (s *Store) Stats() Stats {
	return Stats{s.counts.requests.Load(), s.counts.retries.Load(), s.counts.resumed.Load(), s.gate.allowed()}
}

// ParseURL takes "s3://bucket/prefix" apart.
func ParseURL(url string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(url, "s3://")
	if !ok {
		return "", "", fmt.Errorf("parse %q: it does not begin with s3://", url)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	prefix = strings.TrimSuffix(prefix, "/")
	if err := checkPlace(bucket, prefix); err != nil {
		return "", "", fmt.Errorf("parse %q: %w", url, err)
	}
	return bucket, prefix, nil
}

// checkPlace refuses what would not make plain keys, or hides a secret.
func checkPlace(bucket, prefix string) error {
	switch {
	case bucket == "":
		return errors.New("no bucket is named")
	case strings.Contains(bucket, "/") || blob.CheckName(bucket) != nil:
		return errors.New("a bucket is named by letters, digits, dots and dashes")
	case prefix == "":
		return nil
	case len(prefix) > maxPrefix:
		return fmt.Errorf("the prefix is longer than %d bytes", maxPrefix)
	}
	return blob.CheckName(prefix)
}

// Open connects to a bucket and proves, by one listing, that it can be reached.
// It fails with [ErrNoBucket] where the server has no such bucket, and with
// fs.ErrPermission where it refuses the credentials.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open s3://%s: %w", strings.TrimSuffix(o.Bucket+"/"+o.Prefix, "/"), err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	if err := checkPlace(o.Bucket, o.Prefix); err != nil {
		return nil, err
	}
	o = withDefaults(o)
	client, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		client:   client,
		upload:   payloadOptions(client),
		bucket:   &o.Bucket,
		endpoint: aws.ToString(client.Options().BaseEndpoint),
		partSize: o.PartSize,
		memory:   newMemory(o.Memory, o.PartSize),
		log:      o.Log,
		pause:    firstPause,
	}
	s.gate = newGate(o.Requests, s.log)
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	if o.SingleWriter {
		s.single = new([64]sync.Mutex)
	}
	return s, s.reach(ctx)
}

func withDefaults(o Options) Options {
	if o.Requests <= 0 {
		o.Requests = DefaultRequests
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.PartSize <= 0 {
		o.PartSize = DefaultPartSize
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// reach lists one key. It does not try for long: a mistake in the configuration
// is likelier here than a fault that passes. A HEAD request would not do, as its
// answer has no room for the server's reasons.
func (s *Store) reach(ctx context.Context) error {
	c := call{s: s, tries: 3}
	err := c.do(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
		return err
	})
	return s.explain(err)
}

// Stat describes an object. See [blob.Store].
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, name); err != nil {
		return blob.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	head, err := s.head(ctx, s.prefix+name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat %s: %w", name, s.explain(err))
	}
	return blob.Info{
		Name:     name,
		Size:     aws.ToInt64(head.ContentLength),
		Modified: aws.ToTime(head.LastModified),
		CRC32C:   wholeSum(head.ChecksumCRC32C, head.ChecksumType),
	}, nil
}

// head asks for everything the server knows of an object.
func (s *Store) head(ctx context.Context, key string) (head *s3.HeadObjectOutput, err error) {
	err = s.do(ctx, 0, func(ctx context.Context) error {
		head, err = s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
		return err
	})
	return head, err
}

// check refuses to begin with a bad name or when cancelled.
func check(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// alone keeps other creators of a key in this process away until unlock is
// called, where the server does not decide between them, and fails with
// fs.ErrExist where the key is taken.
func (s *Store) alone(ctx context.Context, key string) (unlock func(), err error) {
	if s.single == nil {
		return func() {}, nil
	}
	mu := &s.single[crc32.ChecksumIEEE([]byte(key))%uint32(len(s.single))]
	mu.Lock()
	if err := s.checkFree(ctx, key); err != nil {
		mu.Unlock()
		return nil, err
	}
	return mu.Unlock, nil
}
