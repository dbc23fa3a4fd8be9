package remote

import (
	"context"
	"fmt"
	"math"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// server answers the calls of a child from the session. It believes nothing that
// the child sends: a call that a child of ours would not make is an error that
// wraps errBroken, and ends the child.
type server struct {
	outside *strategy.Outside
	memory  uint64 // bytes: no buffer of a guest is larger
	open    map[uint64]any
	next    uint64 // handle; never used twice
	block   []byte
}

// request is a call that is being served.
type request struct {
	*server
	*call
	ctx     context.Context
	session abi.Session
	answer  []byte // data of the reply
	broken  error
}

// serve answers one call.
func (s *server) serve(c *call) (reply, error) {
	f := &abi.Imports[c.op]
	serve, ok := served[f.Name]
	if !ok {
		return reply{}, fmt.Errorf("%w: %s is no call of the session", errBroken, f.Name)
	}
	r := &request{server: s, call: c}
	a, err := s.outside.Call(f, func(ctx context.Context, session abi.Session) (int, error) {
		r.ctx, r.session = ctx, session
		return serve(r)
	})
	switch {
	case r.broken != nil:
		return reply{}, fmt.Errorf("%s: %w", f.Name, r.broken)
	case err != nil:
		return reply{}, err
	case a.Errno != 0:
		return reply{errno: a.Errno, data: []byte(a.Told)}, nil
	}
	return reply{result: int64(a.Result), data: r.answer}, nil
}

// release ends what the guest left open when its phase ended. Streams are left to
// the session, which fails a snapshot with one that was not closed.
func (s *server) release() {
	for _, value := range s.open {
		if scan, ok := value.(abi.Scan); ok {
			scan.Close() // nobody is left to hear of an error
		}
	}
	clear(s.open)
}

// served has a line for each call of the session, in the order of the ABI.
var served = map[string]func(*request) (int, error){
	"info": func(r *request) (int, error) {
		info, err := r.session.Info()
		return r.give(abi.Bytes([]abi.Info{info}), err)
	},
	"config_get": func(r *request) (int, error) { return r.give(r.session.Config()) },
	"log":        func(r *request) (int, error) { r.outside.Log(abi.Level(r.u32(0)), r.data); return 0, nil },
	"progress":   func(r *request) (int, error) { r.session.Progress(r.a[0], r.a[1]); return 0, nil },

	"state_get":    func(r *request) (int, error) { return r.give(r.session.StateGet(r.key)) },
	"state_put":    func(r *request) (int, error) { return 0, r.session.StatePut(r.key, r.value()) },
	"state_delete": func(r *request) (int, error) { return 0, r.session.StateDelete(r.key) },
	"meta_put":     func(r *request) (int, error) { return 0, r.session.MetaPut(r.key, r.value()) },

	"checkpoint": func(r *request) (int, error) { return r.session.Checkpoint() },
	"files_read": func(r *request) (int, error) { return list(r, r.session.FilesRead) },
	"file_name":  func(r *request) (int, error) { return r.giveName(r.session.FileName(r.u32(0))) },
	"bases_read": func(r *request) (int, error) { return list(r, r.session.BasesRead) },
	"base_use":   func(r *request) (int, error) { return 0, r.session.BaseUse(r.a[0]) },
	"upload":     func(r *request) (int, error) { return submit(r, r.session.Upload) },
	"reuse":      func(r *request) (int, error) { return submit(r, r.session.Reuse) },
	"fetch":      func(r *request) (int, error) { return submit(r, r.session.Fetch) },
	"wait":       wait,

	"view":          func(r *request) (int, error) { return r.session.View() },
	"families_read": func(r *request) (int, error) { return list(r, r.session.FamiliesRead) },
	"family_name":   func(r *request) (int, error) { return r.giveName(r.session.FamilyName(r.u32(0))) },
	"export":        func(r *request) (int, error) { return submit(r, r.session.Export) },
	"scan_open":     scanOpen,
	"scan_next":     scanNext,
	"scan_need":     scanNeed,
	"scan_close":    scanClose,
	"stream_open":   streamOpen,
	"stream_write":  streamWrite,
	"stream_close":  streamClose,
	"pump":          pump,
}

// breaks notes that the child is not to be believed any more.
func (r *request) breaks(format string, a ...any) error {
	r.broken = fmt.Errorf("%w: %s", errBroken, fmt.Sprintf(format, a...))
	return r.broken
}

// u32 returns an argument that is one in the ABI.
func (r *request) u32(n int) uint32 {
	if r.a[n] > math.MaxUint32 && r.broken == nil {
		r.breaks("argument %d is %d", n, r.a[n])
	}
	return uint32(r.a[n])
}

// value copies the data of a frame, since the session may keep it.
func (r *request) value() []byte { return append([]byte{}, r.data...) }

func (r *request) give(answer []byte, err error) (int, error) {
	r.answer = answer
	return 0, err
}

func (r *request) giveName(name string, err error) (int, error) { return r.give([]byte(name), err) }

// records makes room for as many records as the guest has room for.
func records[R abi.Record](r *request, count uint64) ([]R, error) {
	if count > r.memory/uint64(abi.Size[R]()) {
		return nil, r.breaks("room for %d records", count)
	}
	return make([]R, count), nil
}

// list serves (start, count).
func list[R abi.Record](r *request, read func(int, []R) (int, error)) (int, error) {
	dst, err := records[R](r, r.a[1])
	if err != nil {
		return 0, err
	}
	n, err := read(int(r.u32(0)), dst)
	if err == nil {
		r.answer = abi.Bytes(dst[:n])
	}
	return n, err
}

// submit serves records that the session accepts.
func submit[R abi.Record](r *request, accept func([]R) (int, error)) (int, error) {
	reqs, err := recordsIn[R](r.data)
	if err != nil {
		r.broken = err
		return 0, err
	}
	return accept(reqs)
}

// wait may block for hours.
func wait(r *request) (int, error) {
	dst, err := records[abi.Completion](r, r.a[0])
	if err != nil {
		return 0, err
	}
	n, err := r.outside.Wait(r.ctx, r.session, dst)
	if err == nil {
		r.answer = abi.Bytes(dst[:n])
	}
	return n, err
}

// keep gives a handle to what the guest opened. The child keeps to the limit of
// handles itself, and opens one above it before it notices.
func (r *request) keep(value any) (int, error) {
	r.next++
	r.open[r.next] = value
	return int(r.next), nil
}

// full tells of a child that has more open than it could have.
func (r *request) full() error {
	if len(r.open) > r.outside.Limits().Handles {
		return r.breaks("%d scans and streams are open", len(r.open))
	}
	return nil
}

// opened returns what a handle stands for.
func opened[T any](r *request, handle uint64) (T, error) {
	value, ok := r.open[handle].(T)
	if !ok {
		return value, r.breaks("handle %d", handle)
	}
	return value, nil
}

// room returns a buffer as large as that of the guest.
func (r *request) room(limit uint64) ([]byte, error) {
	if limit > r.memory {
		return nil, r.breaks("room for %d bytes", limit)
	}
	if uint64(cap(r.block)) < limit {
		r.block = make([]byte, limit)
	}
	return r.block[:limit], nil
}
