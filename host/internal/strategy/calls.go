package strategy

import (
	"context"
	"runtime/debug"
	"strconv"

	"github.com/rocksnap/rocksnap/abi"
)

// handlers has a line for each function of the ABI. Parameters are numbered as
// in the table of package abi, whose order this follows.
var handlers = map[string]handler{
	"info":       info,
	"config_get": configGet,
	"error_get":  errorGet,
	"error_set":  errorSet,
	"log":        logLine,
	"progress":   func(i *Instance, a args) (int, error) { i.session.Progress(a[0], a[1]); return 0, nil },
	"cancelled":  cancelled,

	"state_get":    stateGet,
	"state_put":    func(i *Instance, a args) (int, error) { return 0, i.session.StatePut(i.pair(a)) },
	"state_delete": func(i *Instance, a args) (int, error) { return 0, i.session.StateDelete(i.string(a)) },
	"meta_put":     func(i *Instance, a args) (int, error) { return 0, i.session.MetaPut(i.pair(a)) },

	"checkpoint": func(i *Instance, _ args) (int, error) { return i.session.Checkpoint() },
	"files_read": func(i *Instance, a args) (int, error) { return list(i, a, i.session.FilesRead) },
	"file_name":  func(i *Instance, a args) (int, error) { return name(i, a, i.session.FileName) },
	"bases_read": func(i *Instance, a args) (int, error) { return list(i, a, i.session.BasesRead) },
	"base_use":   func(i *Instance, a args) (int, error) { return 0, i.session.BaseUse(a[0]) },
	"upload":     func(i *Instance, a args) (int, error) { return submit(i, a, i.session.Upload) },
	"reuse":      func(i *Instance, a args) (int, error) { return submit(i, a, i.session.Reuse) },
	"fetch":      func(i *Instance, a args) (int, error) { return submit(i, a, i.session.Fetch) },
	"wait":       wait,

	"view":          func(i *Instance, _ args) (int, error) { return i.session.View() },
	"families_read": func(i *Instance, a args) (int, error) { return list(i, a, i.session.FamiliesRead) },
	"family_name":   func(i *Instance, a args) (int, error) { return name(i, a, i.session.FamilyName) },
	"export":        func(i *Instance, a args) (int, error) { return submit(i, a, i.session.Export) },
	"scan_open":     scanOpen,
	"scan_next":     scanNext,
	"scan_need":     scanNeed,
	"scan_close":    scanClose,
	"stream_open":   streamOpen,
	"stream_write":  streamWrite,
	"stream_close":  streamClose,
	"pump":          pump,
}

// span returns a view of the memory that a pointer and a length describe.
func (i *Instance) span(a args) []byte { return i.bytes(a.u32(0), uint64(a.u32(1))) }

func (i *Instance) string(a args) string { return string(i.span(a)) }

// pair copies a key and a value out of the guest's memory.
func (i *Instance) pair(a args) (key string, value []byte) {
	return i.string(a), append([]byte{}, i.span(a[2:])...)
}

// list serves (start, buf, limit, rec_size).
func list[R abi.Record](i *Instance, a args, read func(int, []R) (int, error)) (int, error) {
	return output(i, a.u32(1), a.u32(2), a.u32(3), func(dst []R) (int, error) { return read(int(a.u32(0)), dst) })
}

// submit serves (ptr, count, rec_size).
func submit[R abi.Record](i *Instance, a args, accept func([]R) (int, error)) (int, error) {
	records, err := input[R](i, a.u32(0), a.u32(1), a.u32(2))
	if err != nil {
		return 0, err
	}
	return accept(records)
}

// name serves (id, buf, limit).
func name(i *Instance, a args, get func(uint32) (string, error)) (int, error) {
	id := a.u32(0)
	return i.read(strconv.FormatUint(uint64(id), 10), a.u32(1), a.u32(2), func() ([]byte, error) {
		text, err := get(id)
		return []byte(text), err
	})
}

// info writes as much of the record as the guest knows, and zeroes beyond it.
func info(i *Instance, a args) (int, error) {
	dst := i.span(a)
	record, err := i.session.Info()
	if err != nil {
		return 0, err
	}
	src := abi.Bytes([]abi.Info{record})
	clear(dst[copy(dst, src):])
	return len(src), nil
}

func configGet(i *Instance, a args) (int, error) {
	return i.read("", a.u32(0), a.u32(1), i.session.Config)
}

func errorGet(i *Instance, a args) (int, error) {
	return i.read("", a.u32(0), a.u32(1), func() ([]byte, error) { return []byte(i.latest), nil })
}

func errorSet(i *Instance, a args) (int, error) {
	text := i.span(a)
	i.text = append([]byte{}, text[:min(len(text), maxErrorText)]...)
	return 0, nil
}

func logLine(i *Instance, a args) (int, error) {
	i.writeLog(abi.Level(a.u32(0)), i.span(a[1:]))
	return 0, nil
}

func cancelled(i *Instance, _ args) (int, error) {
	if i.ctx.Err() != nil {
		return 1, nil
	}
	return 0, nil
}

func stateGet(i *Instance, a args) (int, error) {
	key := i.string(a)
	return i.read(key, a.u32(2), a.u32(3), func() ([]byte, error) { return i.session.StateGet(key) })
}

// wait is the one call that may block for hours. When the run ends meanwhile, it
// is left behind on its goroutine, which owns the records that it fills. Beside it
// a session is then asked only for what needs no capability, and notified.
func wait(i *Instance, a args) (int, error) {
	return output(i, a.u32(0), a.u32(1), a.u32(2), func(dst []abi.Completion) (int, error) {
		type outcome struct {
			n     int
			err   error
			fault *hostFault // the session panicked
		}
		ended := make(chan outcome, 1)
		session, records := i.session, make([]abi.Completion, len(dst))
		go func() {
			var o outcome
			defer func() {
				if value := recover(); value != nil { // on this goroutine it would end the host
					o.fault = &hostFault{call: "wait", value: value, stack: debug.Stack()}
				}
				ended <- o
			}()
			o.n, o.err = session.Wait(records)
		}()
		select {
		case o := <-ended:
			if o.fault != nil {
				panic(o.fault)
			}
			i.noteFailures(records[:copy(dst, records[:o.n])])
			return o.n, o.err
		case <-i.ctx.Done():
			return 0, context.Cause(i.ctx)
		}
	})
}

// noteFailures lets error_get tell of the latest request that failed.
func (i *Instance) noteFailures(records []abi.Completion) {
	for _, c := range records {
		if err := c.Err(); err != nil {
			i.latest = err.Error()
		}
	}
}
