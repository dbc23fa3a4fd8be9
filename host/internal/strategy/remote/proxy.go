package remote

import (
	"sync"

	"github.com/rocksnap/rocksnap/abi"
)

// proxy is the session of a module in its process: each method is a call of the
// host. Wait may still be under way on a goroutine of its own when the run has
// ended, so calls take turns.
type proxy struct {
	wire     *wire
	mu       sync.Mutex // held during a call
	replies  chan reply
	consumed chan struct{}
}

var _ abi.Session = (*proxy)(nil)

func newProxy(w *wire) *proxy {
	return &proxy{wire: w, replies: make(chan reply), consumed: make(chan struct{})}
}

// call asks the host. What it answers is copied into dst, or returned when dst is
// nil. An error is an [abi.Error], whose text is what the guest may see.
func (p *proxy) call(name string, c call, dst []byte) (int, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.op = index[name]
	if err := p.wire.send(kindCall, c.append); err != nil {
		return 0, nil, err
	}
	r := <-p.replies
	defer func() { p.consumed <- struct{}{} }()
	if r.errno != 0 {
		return 0, nil, &abi.Error{Errno: r.errno, Text: string(r.data)}
	}
	if dst == nil {
		return int(r.result), append([]byte{}, r.data...), nil
	}
	copy(dst, r.data)
	return int(r.result), nil, nil
}

// none is for calls whose answer has no data.
var none = []byte{}

func (p *proxy) count(name string, c call) (int, error) {
	n, _, err := p.call(name, c, none)
	return n, err
}

func (p *proxy) check(name string, c call) error {
	_, _, err := p.call(name, c, none)
	return err
}

func (p *proxy) data(name string, c call) ([]byte, error) {
	_, data, err := p.call(name, c, nil)
	return data, err
}

// fill has records or bytes filled in by the host.
func (p *proxy) fill(name string, c call, dst []byte) (int, error) {
	if dst == nil {
		dst = none
	}
	n, _, err := p.call(name, c, dst)
	return n, err
}

// Info implements [abi.Control].
func (p *proxy) Info() (abi.Info, error) {
	info := make([]abi.Info, 1)
	_, err := p.fill("info", call{}, abi.Bytes(info))
	return info[0], err
}

// Config implements [abi.Control].
func (p *proxy) Config() ([]byte, error) { return p.data("config_get", call{}) }

// StateGet implements [abi.Control].
func (p *proxy) StateGet(key string) ([]byte, error) { return p.data("state_get", call{key: key}) }

// StatePut implements [abi.Control].
func (p *proxy) StatePut(key string, value []byte) error {
	return p.check("state_put", call{key: key, data: value})
}

// StateDelete implements [abi.Control].
func (p *proxy) StateDelete(key string) error { return p.check("state_delete", call{key: key}) }

// MetaPut implements [abi.Control].
func (p *proxy) MetaPut(key string, value []byte) error {
	return p.check("meta_put", call{key: key, data: value})
}

// Log implements [abi.Control].
func (p *proxy) Log(level abi.Level, message string) {
	p.check("log", call{a: [3]uint64{uint64(level)}, data: []byte(message)})
}

// Progress implements [abi.Control].
func (p *proxy) Progress(done, total uint64) {
	p.check("progress", call{a: [3]uint64{done, total}})
}

// Checkpoint implements [abi.Capture].
func (p *proxy) Checkpoint() (int, error) { return p.count("checkpoint", call{}) }

// View implements [abi.Capture].
func (p *proxy) View() (int, error) { return p.count("view", call{}) }

// BasesRead implements [abi.Capture].
func (p *proxy) BasesRead(start int, dst []abi.Base) (int, error) {
	return page(p, "bases_read", start, dst)
}

// BaseUse implements [abi.Capture].
func (p *proxy) BaseUse(slot uint64) error {
	return p.check("base_use", call{a: [3]uint64{slot}})
}

// FilesRead implements [abi.Files].
func (p *proxy) FilesRead(start int, dst []abi.File) (int, error) {
	return page(p, "files_read", start, dst)
}

// FileName implements [abi.Files].
func (p *proxy) FileName(id uint32) (string, error) { return p.name("file_name", id) }

// Upload implements [abi.Files].
func (p *proxy) Upload(reqs []abi.Upload) (int, error) { return offer(p, "upload", reqs) }

// Reuse implements [abi.Files].
func (p *proxy) Reuse(reqs []abi.Reuse) (int, error) { return offer(p, "reuse", reqs) }

// Fetch implements [abi.Files].
func (p *proxy) Fetch(reqs []abi.Fetch) (int, error) { return offer(p, "fetch", reqs) }

// Wait implements [abi.Files].
func (p *proxy) Wait(dst []abi.Completion) (int, error) {
	return p.fill("wait", call{a: [3]uint64{uint64(len(dst))}}, abi.Bytes(dst))
}

// FamiliesRead implements [abi.Records].
func (p *proxy) FamiliesRead(start int, dst []abi.Family) (int, error) {
	return page(p, "families_read", start, dst)
}

// FamilyName implements [abi.Records].
func (p *proxy) FamilyName(id uint32) (string, error) { return p.name("family_name", id) }

// Export implements [abi.Records].
func (p *proxy) Export(reqs []abi.Export) (int, error) { return offer(p, "export", reqs) }

// ScanOpen implements [abi.Records].
func (p *proxy) ScanOpen(family, firstGroup, lastGroup uint32) (abi.Scan, error) {
	handle, err := p.count("scan_open", call{a: [3]uint64{uint64(family), uint64(firstGroup), uint64(lastGroup)}})
	if err != nil {
		return nil, err
	}
	return &scan{proxy: p, handle: uint64(handle)}, nil
}

// StreamOpen implements [abi.Records].
func (p *proxy) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	handle, err := p.count("stream_open", call{data: abi.Bytes([]abi.StreamSpec{spec})})
	if err != nil {
		return nil, err
	}
	return &stream{proxy: p, handle: uint64(handle)}, nil
}

// Pump implements [abi.Records].
func (p *proxy) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	a := [3]uint64{from.(*scan).handle, to.(*stream).handle, uint64(len(buf))}
	return p.fill("pump", call{a: a}, buf)
}

func (p *proxy) name(name string, id uint32) (string, error) {
	text, err := p.data(name, call{a: [3]uint64{uint64(id)}})
	return string(text), err
}

func page[R abi.Record](p *proxy, name string, start int, dst []R) (int, error) {
	return p.fill(name, call{a: [3]uint64{uint64(start), uint64(len(dst))}}, abi.Bytes(dst))
}

func offer[R abi.Record](p *proxy, name string, reqs []R) (int, error) {
	return p.count(name, call{data: abi.Bytes(reqs)})
}

// scan is a scan of the host's.
type scan struct {
	proxy  *proxy
	handle uint64
	closed bool
}

// Next implements [abi.Scan].
func (s *scan) Next(buf []byte) (int, error) {
	return s.proxy.fill("scan_next", call{a: [3]uint64{s.handle, uint64(len(buf))}}, buf)
}

// Need implements [abi.Scan].
func (s *scan) Need() int {
	n, err := s.proxy.count("scan_need", call{a: [3]uint64{s.handle}})
	if err != nil {
		return 0 // the run has ended
	}
	return n
}

// Close implements [abi.Scan].
func (s *scan) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.proxy.check("scan_close", call{a: [3]uint64{s.handle}})
}

// stream is a stream of the host's.
type stream struct {
	proxy  *proxy
	handle uint64
}

// Write implements [abi.Stream].
func (s *stream) Write(b []byte) (int, error) {
	return s.proxy.count("stream_write", call{a: [3]uint64{s.handle}, data: b})
}

// Close implements [abi.Stream]. The sandbox forgets a stream that it closed.
func (s *stream) Close() error {
	return s.proxy.check("stream_close", call{a: [3]uint64{s.handle}})
}
