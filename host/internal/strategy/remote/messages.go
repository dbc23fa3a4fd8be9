package remote

import (
	"encoding/binary"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// setup is what a child learns before it gets the module.
type setup struct {
	Name     string
	Limits   strategy.Limits
	Grants   []abi.Grant
	CacheDir string
	LogLevel abi.Level
}

// call is a call of the session: the function, as its index in [abi.Imports],
// and its arguments. Which of them count depends on the function.
type call struct {
	op   byte
	a    [3]uint64
	key  string
	data []byte
}

// index finds a function of the ABI by its name.
var index = func() map[string]byte {
	m := make(map[string]byte, len(abi.Imports))
	for n := range abi.Imports {
		m[abi.Imports[n].Name] = byte(n)
	}
	return m
}()

func (c *call) append(row []byte) []byte {
	row = append(row, c.op)
	for _, a := range c.a {
		row = binary.LittleEndian.AppendUint64(row, a)
	}
	return append(appendText(row, c.key), c.data...)
}

// parseCall leaves data in the body.
func parseCall(body []byte) (c call, err error) {
	f := fields{rest: body}
	c.op = f.u8()
	for n := range c.a {
		c.a[n] = f.u64()
	}
	c.key = f.text()
	c.data, f.rest = f.rest, nil
	if int(c.op) >= len(abi.Imports) {
		return c, fmt.Errorf("%w: function %d", errBroken, c.op)
	}
	return c, f.end("call")
}

// reply is what a call returned.
type reply struct {
	errno  abi.Errno // 0 for a success
	result int64
	data   []byte // of a failure, its text
}

func (r *reply) append(row []byte) []byte {
	row = binary.LittleEndian.AppendUint32(row, uint32(r.errno))
	row = binary.LittleEndian.AppendUint64(row, uint64(r.result))
	return append(row, r.data...)
}

func parseReply(body []byte) (r reply, err error) {
	f := fields{rest: body}
	r.errno, r.result = abi.Errno(f.u32()), int64(f.u64())
	r.data, f.rest = f.rest, nil
	return r, f.end("reply")
}

// enter asks for a phase; 0 is the start. Run counts them, so that a cancel which
// comes late does not hit the next one.
type enter struct {
	run   uint32
	phase abi.Phase
	note  abi.Notification
}

func (e *enter) append(row []byte) []byte {
	row = binary.LittleEndian.AppendUint32(row, e.run)
	row = binary.LittleEndian.AppendUint32(row, uint32(e.phase))
	row = binary.LittleEndian.AppendUint32(row, uint32(e.note.Event))
	return binary.LittleEndian.AppendUint64(row, e.note.Slot)
}

func parseEnter(body []byte) (e enter, err error) {
	f := fields{rest: body}
	e.run, e.phase = f.u32(), abi.Phase(f.u32())
	e.note.Event, e.note.Slot = abi.Event(f.u32()), f.u64()
	return e, f.end("enter")
}

// cancel ends a phase.
type cancel struct {
	run   uint32
	errno abi.Errno
}

func (c *cancel) append(row []byte) []byte {
	row = binary.LittleEndian.AppendUint32(row, c.run)
	return binary.LittleEndian.AppendUint32(row, uint32(c.errno))
}

func parseCancel(body []byte) (c cancel, err error) {
	f := fields{rest: body}
	c.run, c.errno = f.u32(), abi.Errno(f.u32())
	return c, f.end("cancel")
}

func appendEnding(row []byte, e strategy.Ending) []byte {
	row = binary.LittleEndian.AppendUint32(row, uint32(e.Errno))
	gone := byte(0)
	if e.Gone {
		gone = 1
	}
	row = append(row, gone)
	for _, text := range []string{e.Text, e.Output, e.Call, e.Cause} {
		row = appendText(row, text)
	}
	return row
}

func parseEnding(body []byte) (e strategy.Ending, err error) {
	f := fields{rest: body}
	e.Errno = abi.Errno(f.u32())
	gone := f.u8()
	e.Gone = gone == 1
	for _, text := range []*string{&e.Text, &e.Output, &e.Call, &e.Cause} {
		*text = f.text()
	}
	if e.Errno < 0 || gone > 1 {
		return e, fmt.Errorf("%w: end with number %d", errBroken, e.Errno)
	}
	return e, f.end("end")
}

// recordsIn copies records out of a frame, since the session may keep them.
func recordsIn[R abi.Record](data []byte) ([]R, error) {
	size := abi.Size[R]()
	if len(data)%size != 0 {
		return nil, fmt.Errorf("%w: records of %d bytes in %d", errBroken, size, len(data))
	}
	records := make([]R, len(data)/size)
	copy(abi.Bytes(records), data)
	return records, nil
}
