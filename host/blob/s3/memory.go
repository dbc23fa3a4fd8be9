package s3

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"
)

// memory lends buffers within a budget of bytes. A reader never waits for one: it
// holds others, and whoever would give theirs back may be waiting for it.
type memory struct {
	budget int64
	free   *semaphore.Weighted
	reads  *semaphore.Weighted // of the share of the readers
	unit   int64               // bytes of a usual part
	pools  sync.Map            // of *sync.Pool of *buffer, by the size of these
}

// buffer holds the bytes of a part or a chunk.
type buffer struct {
	data  []byte
	space []byte
	cost  int64 // of the budget; 0 for one that is not lent
	read  bool  // it is for a chunk, and counts in the share of the readers too
}

func newMemory(budget, unit int64) *memory {
	budget = max(budget, unit)
	return &memory{budget: budget, free: semaphore.NewWeighted(budget), reads: semaphore.NewWeighted(max(budget/readShare, chunkSize)), unit: unit}
}

// take waits for a buffer of some size. One that is larger than the whole budget
// takes all of it.
func (m *memory) take(ctx context.Context, size int64) (*buffer, error) {
	cost := min(size, m.budget)
	if err := m.free.Acquire(ctx, cost); err != nil {
		return nil, err
	}
	return m.pooled(size, cost), nil
}

// chunkSize is how many bytes of an object are asked for with one request. Smaller ones
// would have more of the time go to waiting for the first byte; of larger ones there
// would be too few.
const chunkSize = 4 << 20

// readShare is the part of the budget that readers use. What is sent has to be held
// until it has arrived, and what comes only until it is read.
const readShare = 4

// tryChunk returns a buffer for a chunk, or nil where the budget, or the share of the
// readers, is used up.
func (m *memory) tryChunk() *buffer {
	if !m.reads.TryAcquire(chunkSize) {
		return nil
	}
	if !m.free.TryAcquire(chunkSize) {
		m.reads.Release(chunkSize)
		return nil
	}
	if b, ok := chunks.Get().(*buffer); ok {
		return b
	}
	return &buffer{space: make([]byte, chunkSize), cost: chunkSize, read: true}
}

// The buffers of readers, of whatever store.
var (
	chunks     sync.Pool // of *buffer
	headChunks = sync.Pool{New: func() any { return &buffer{space: make([]byte, headSize)} }}
)

// headChunk returns a buffer of 1 MiB, which every reader has beside the budget.
func headChunk() *buffer { return headChunks.Get().(*buffer) }

func (m *memory) pooled(size, cost int64) *buffer {
	if b, ok := m.pool(size).Get().(*buffer); ok {
		return b
	}
	return &buffer{space: make([]byte, size), cost: cost}
}

func (m *memory) pool(size int64) *sync.Pool {
	pool, _ := m.pools.LoadOrStore(size, new(sync.Pool))
	return pool.(*sync.Pool)
}

// give takes a buffer back.
func (m *memory) give(b *buffer) {
	if b.cost > 0 {
		m.free.Release(b.cost)
	}
	switch size := int64(len(b.space)); {
	case b.read:
		m.reads.Release(b.cost)
		chunks.Put(b)
	case b.cost == 0 && size == headSize:
		headChunks.Put(b)
	case b.cost > 0:
		m.pool(size).Put(b)
	}
}

// heads holds the buffers of 1 MiB that bodies begin with.
var heads = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headSize) }}

// source is the body of an object on its way in. It ends when ctx does.
type source struct {
	ctx context.Context
	r   io.Reader
	buf *bufio.Reader
}

func newSource(ctx context.Context, r io.Reader) *source {
	s := &source{ctx: ctx, r: r, buf: heads.Get().(*bufio.Reader)}
	s.buf.Reset(readerFunc(s.read))
	return s
}

func (s *source) close() {
	s.buf.Reset(nil)
	heads.Put(s.buf)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *source) read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// head returns the whole body, valid until close, where 1 MiB holds it.
func (s *source) head() (body []byte, whole bool, err error) {
	body, err = s.buf.Peek(headSize)
	if err == io.EOF {
		return body, true, nil
	}
	return nil, false, err
}

// fill reads as much as the buffer holds, and reports whether the body ended. It
// does not use io.ReadFull, for which a body that was cut short has just ended.
func (s *source) fill(b *buffer) (ended bool, err error) {
	n := 0
	for n < len(b.space) && err == nil {
		var got int
		got, err = s.buf.Read(b.space[n:])
		n += got
	}
	b.data = b.space[:n]
	if err == nil {
		_, err = s.buf.Peek(1)
	}
	return err == io.EOF, ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// payload is the body of one request. The transport may go on reading it after
// the request has ended; stop makes sure that it does not, as the bytes are about
// to be overwritten.
type payload struct {
	mu    sync.Mutex
	bytes *bytes.Reader
	over  bool
}

var errOver = errors.New("the request is over")

func (p *payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return 0, errOver
	}
	return p.bytes.Read(b)
}

func (p *payload) Seek(offset int64, whence int) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes.Seek(offset, whence)
}

func (p *payload) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}
