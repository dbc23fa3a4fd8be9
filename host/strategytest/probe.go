package strategytest

import "github.com/rocksnap/rocksnap/abi"

// around stands around a call of a session: it makes the call with do, or not,
// and returns what the strategy sees. The number is that of records, bytes or
// files; 0 where the call has none.
type around func(call string, do func() (int, error)) (int, error)

// probe is a session with something around each of its calls. Log and Progress
// cannot fail and are left alone, and so is everything in a notification, which
// changes nothing any more.
type probe struct {
	abi.Session
	around around
}

func (p *probe) call(name string, do func() (int, error)) (int, error) {
	if info, err := p.Session.Info(); err == nil && info.Phase == abi.PhaseNotify {
		return do()
	}
	return p.around(name, do)
}

func (p *probe) do(name string, do func() error) error {
	_, err := p.call(name, func() (int, error) { return 0, do() })
	return err
}

func (p *probe) Info() (info abi.Info, err error) {
	err = p.do("info", func() (err error) { info, err = p.Session.Info(); return err })
	return info, err
}

func (p *probe) Config() (text []byte, err error) {
	err = p.do("config", func() (err error) { text, err = p.Session.Config(); return err })
	return text, err
}

func (p *probe) StateGet(key string) (value []byte, err error) {
	err = p.do("state_get", func() (err error) { value, err = p.Session.StateGet(key); return err })
	return value, err
}

func (p *probe) StatePut(key string, value []byte) error {
	return p.do("state_put", func() error { return p.Session.StatePut(key, value) })
}

func (p *probe) StateDelete(key string) error {
	return p.do("state_delete", func() error { return p.Session.StateDelete(key) })
}

func (p *probe) MetaPut(key string, value []byte) error {
	return p.do("meta_put", func() error { return p.Session.MetaPut(key, value) })
}

func (p *probe) Checkpoint() (int, error) { return p.call("checkpoint", p.Session.Checkpoint) }

func (p *probe) View() (int, error) { return p.call("view", p.Session.View) }

func (p *probe) BasesRead(start int, dst []abi.Base) (int, error) {
	return p.call("bases_read", func() (int, error) { return p.Session.BasesRead(start, dst) })
}

func (p *probe) BaseUse(slot uint64) error {
	return p.do("base_use", func() error { return p.Session.BaseUse(slot) })
}

func (p *probe) FilesRead(start int, dst []abi.File) (int, error) {
	return p.call("files_read", func() (int, error) { return p.Session.FilesRead(start, dst) })
}

func (p *probe) FileName(id uint32) (name string, err error) {
	err = p.do("file_name", func() (err error) { name, err = p.Session.FileName(id); return err })
	return name, err
}

func (p *probe) Upload(reqs []abi.Upload) (int, error) {
	return p.call("upload", func() (int, error) { return p.Session.Upload(reqs) })
}

func (p *probe) Reuse(reqs []abi.Reuse) (int, error) {
	return p.call("reuse", func() (int, error) { return p.Session.Reuse(reqs) })
}

func (p *probe) Fetch(reqs []abi.Fetch) (int, error) {
	return p.call("fetch", func() (int, error) { return p.Session.Fetch(reqs) })
}

func (p *probe) Wait(dst []abi.Completion) (int, error) {
	return p.call("wait", func() (int, error) { return p.Session.Wait(dst) })
}

func (p *probe) FamiliesRead(start int, dst []abi.Family) (int, error) {
	return p.call("families_read", func() (int, error) { return p.Session.FamiliesRead(start, dst) })
}

func (p *probe) FamilyName(id uint32) (name string, err error) {
	err = p.do("family_name", func() (err error) { name, err = p.Session.FamilyName(id); return err })
	return name, err
}

func (p *probe) Export(reqs []abi.Export) (int, error) {
	return p.call("export", func() (int, error) { return p.Session.Export(reqs) })
}

func (p *probe) ScanOpen(family, first, last uint32) (abi.Scan, error) {
	var scan abi.Scan
	err := p.do("scan_open", func() (err error) { scan, err = p.Session.ScanOpen(family, first, last); return err })
	if err != nil {
		return nil, err
	}
	return &probedScan{scan, p}, nil
}

func (p *probe) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	var stream abi.Stream
	err := p.do("stream_open", func() (err error) { stream, err = p.Session.StreamOpen(spec); return err })
	if err != nil {
		return nil, err
	}
	return &probedStream{stream, p}, nil
}

func (p *probe) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	scan, stream := from.(*probedScan), to.(*probedStream)
	return p.call("pump", func() (int, error) { return p.Session.Pump(scan.Scan, stream.Stream, buf) })
}

// probedScan leaves Close alone: who defers it has no use for its error.
type probedScan struct {
	abi.Scan
	probe *probe
}

func (s *probedScan) Next(buf []byte) (int, error) {
	return s.probe.call("scan_next", func() (int, error) { return s.Scan.Next(buf) })
}

type probedStream struct {
	abi.Stream
	probe *probe
}

func (s *probedStream) Write(p []byte) (int, error) {
	return s.probe.call("stream_write", func() (int, error) { return s.Stream.Write(p) })
}

func (s *probedStream) Close() error { return s.probe.do("stream_close", s.Stream.Close) }
