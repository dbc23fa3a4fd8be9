package remote

import (
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

// double is a session in memory that writes down every call, so that a run in a
// process of its own can be compared with one in this process.
type double struct {
	config string
	files  int
	quiet  bool // keep no trace
	trace  []string
	state  map[string][]byte
	queue  []abi.Completion
	moved  int // blocks that were pumped

	failCheckpoint func() error    // called by Checkpoint, where set
	onProgress     func()          // called by Progress, where set
	blockWait      <-chan struct{} // held up by Wait, where set
}

var _ abi.Session = (*double)(nil)

const record = "\x01\x00\x00\x00\x02\x00\x00\x00kvv"

func (d *double) note(format string, a ...any) {
	if !d.quiet {
		d.trace = append(d.trace, fmt.Sprintf(format, a...))
	}
}

func (d *double) Info() (abi.Info, error) {
	d.note("info")
	return abi.Info{ABI: abi.Version, Phase: abi.PhaseInit, GroupCount: 8, GroupLast: 7}, nil
}

func (d *double) Config() ([]byte, error) {
	d.note("config_get")
	return []byte(d.config), nil
}

func (d *double) StateGet(key string) ([]byte, error) {
	d.note("state_get %s", key)
	value, ok := d.state[key]
	if !ok {
		return nil, fmt.Errorf("state %q: %w", key, abi.ENOENT)
	}
	return value, nil
}

func (d *double) StatePut(key string, value []byte) error {
	d.note("state_put %s %q", key, value)
	if d.state == nil {
		d.state = make(map[string][]byte)
	}
	d.state[key] = value
	return nil
}

func (d *double) StateDelete(key string) error {
	d.note("state_delete %s", key)
	delete(d.state, key)
	return nil
}

func (d *double) MetaPut(key string, value []byte) error {
	d.note("meta_put %s %s", key, value)
	return nil
}

func (d *double) Log(level abi.Level, message string) { d.note("log %d %s", level, message) }

func (d *double) Progress(done, total uint64) {
	d.note("progress %d %d", done, total)
	if d.onProgress != nil {
		d.onProgress()
	}
}

func (d *double) Checkpoint() (int, error) {
	d.note("checkpoint")
	if d.failCheckpoint != nil {
		return 0, d.failCheckpoint()
	}
	return d.files, nil
}

func (d *double) View() (int, error) {
	d.note("view")
	return 2, nil
}

func (d *double) BasesRead(start int, dst []abi.Base) (int, error) {
	d.note("bases_read %d %d", start, len(dst))
	return copy(dst, []abi.Base{{Slot: 1 << 40, Files: 3}}[min(start, 1):]), nil
}

func (d *double) BaseUse(slot uint64) error {
	d.note("base_use %d", slot)
	return nil
}

func (d *double) FilesRead(start int, dst []abi.File) (int, error) {
	d.note("files_read %d %d", start, len(dst))
	n := 0
	for ; n < len(dst) && start+n < d.files; n++ {
		dst[n] = abi.File{ID: uint32(start + n), Kind: abi.KindTable, Size: 100, Flags: uint16(start+n) % 2 * abi.FileInBase}
	}
	return n, nil
}

func (d *double) FileName(id uint32) (string, error) {
	d.note("file_name %d", id)
	return fmt.Sprintf("%06d.sst", id), nil
}

// The third reuse fails as one whose object is gone.
func (d *double) Reuse(reqs []abi.Reuse) (int, error) {
	d.note("reuse %v", reqs)
	for _, r := range reqs {
		c := abi.Completion{User: r.User, Op: abi.OpReuse}
		if r.File == 3 {
			c.Status = -int32(abi.ENOENT)
		}
		d.queue = append(d.queue, c)
	}
	return len(reqs), nil
}

func (d *double) Upload(reqs []abi.Upload) (int, error) {
	d.note("upload %v", reqs)
	reqs = reqs[:min(len(reqs), 700)] // the rest has to wait
	for _, r := range reqs {
		d.queue = append(d.queue, abi.Completion{User: r.User, Op: abi.OpUpload, Bytes: 100})
	}
	return len(reqs), nil
}

func (d *double) Fetch(reqs []abi.Fetch) (int, error) {
	d.note("fetch %v", reqs)
	for _, r := range reqs {
		d.queue = append(d.queue, abi.Completion{User: r.User, Op: abi.OpFetch})
	}
	return len(reqs), nil
}

func (d *double) Export(reqs []abi.Export) (int, error) {
	d.note("export %v", reqs)
	for _, r := range reqs {
		d.queue = append(d.queue, abi.Completion{User: r.User, Op: abi.OpExport, Records: 9})
	}
	return len(reqs), nil
}

func (d *double) Wait(dst []abi.Completion) (int, error) {
	if d.blockWait != nil {
		<-d.blockWait
		return 0, abi.ECANCELED
	}
	d.note("wait %d", len(dst))
	n := copy(dst, d.queue)
	d.queue = d.queue[n:]
	return n, nil
}

func (d *double) FamiliesRead(start int, dst []abi.Family) (int, error) {
	d.note("families_read %d %d", start, len(dst))
	return copy(dst, []abi.Family{{ID: 0, Flags: abi.FamilyBytewise, Records: 3}, {ID: 4, Flags: abi.FamilyBytewise}}[min(start, 2):]), nil
}

func (d *double) FamilyName(id uint32) (string, error) {
	d.note("family_name %d", id)
	return fmt.Sprintf("family%d", id), nil
}

func (d *double) ScanOpen(family, first, last uint32) (abi.Scan, error) {
	d.note("scan_open %d %d %d", family, first, last)
	return &doubleScan{d}, nil
}

func (d *double) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	d.note("stream_open %v", spec)
	return &doubleStream{d}, nil
}

func (d *double) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	d.note("pump %d", len(buf))
	from.(*doubleScan).d, to.(*doubleStream).d = d, d // of this session, and of the right type
	if d.moved++; d.moved > 3 {
		return 0, nil
	}
	return copy(buf, record), nil
}

type doubleScan struct{ d *double }

func (s *doubleScan) Next(buf []byte) (int, error) {
	s.d.note("scan_next %d", len(buf))
	if len(buf) < len(record) {
		return 0, fmt.Errorf("record of %d bytes: %w", len(record), abi.EBUF)
	}
	return copy(buf, record), nil
}

func (s *doubleScan) Need() int {
	s.d.note("scan_need")
	return len(record)
}

func (s *doubleScan) Close() error {
	s.d.note("scan_close")
	return nil
}

type doubleStream struct{ d *double }

func (s *doubleStream) Write(p []byte) (int, error) {
	s.d.note("stream_write %x", p)
	return len(p), nil
}

func (s *doubleStream) Close() error {
	s.d.note("stream_close")
	return nil
}
