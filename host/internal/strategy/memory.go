package strategy

import (
	"fmt"
	"unsafe"

	"github.com/rocksnap/rocksnap/abi"
)

// bytes returns a view of the guest's memory, which is valid until the host
// function returns: the guest is suspended meanwhile, so its memory cannot grow
// or move. It must not reach another goroutine. Memory that the guest does not
// have ends the guest.
func (i *Instance) bytes(offset uint32, length uint64) []byte {
	memory := i.memory.Size()
	if uint64(offset)+length > uint64(memory) {
		panic(&badPointer{call: i.current, offset: uint64(offset), length: length, memory: memory})
	}
	view, _ := i.memory.Read(offset, uint32(length))
	return view
}

// read serves a function of the form (buf, limit) -> length: the value is
// written only when it fits. One that does not fit is kept for the next call, in
// which the guest comes back with enough room; the session is asked once.
func (i *Instance) read(key string, buf, limit uint32, get func() ([]byte, error)) (int, error) {
	dst := i.bytes(buf, uint64(limit))
	value := i.unread.value
	if i.unread.call != i.current || i.unread.key != key {
		var err error
		if value, err = get(); err != nil {
			return 0, err
		}
	}
	i.unread = unread{}
	if len(value) > len(dst) {
		i.unread = unread{call: i.current, key: key, value: value}
		return len(value), nil
	}
	return copy(dst, value), nil
}

// unread is a value that did not fit, and the question that it answers.
type unread struct {
	call, key string
	value     []byte
}

// input copies records out of the guest's memory, since the session may keep
// them. A record longer than ours is cut. One shorter than ours is refused: there
// is no older guest, and a tiny one would make the host allocate many times what
// the guest does.
func input[R abi.Record](i *Instance, ptr, count, recSize uint32) ([]R, error) {
	if recSize < uint32(abi.Size[R]()) {
		return nil, fmt.Errorf("rec_size %d is less than that of ABI 1.0: %w", recSize, abi.EINVAL)
	}
	src := i.bytes(ptr, uint64(count)*uint64(recSize))
	records := make([]R, count)
	dst, ours, theirs := abi.Bytes(records), abi.Size[R](), int(recSize)
	if ours == theirs {
		copy(dst, src)
		return records, nil
	}
	for n := range records {
		copy(dst[n*ours:(n+1)*ours], src[n*theirs:(n+1)*theirs])
	}
	return records, nil
}

// output has the guest's memory filled with records. When the guest knows them
// as we do, the session writes right where the guest will read.
func output[R abi.Record](i *Instance, buf, limit, recSize uint32, fill func([]R) (int, error)) (int, error) {
	if recSize < uint32(abi.Size[R]()) || limit > 0 && limit < recSize {
		return 0, fmt.Errorf("limit %d, rec_size %d: %w", limit, recSize, abi.EINVAL)
	}
	dst := i.bytes(buf, uint64(limit))
	count := int(limit / recSize)
	if direct := inPlace[R](dst, int(recSize)); direct != nil {
		return fill(direct[:count])
	}
	records := make([]R, count)
	n, err := fill(records)
	if err == nil {
		scatter(dst, records[:n], int(recSize))
	}
	return n, err
}

// inPlace sees guest memory as records, or returns nil where their size or
// alignment differs from ours.
func inPlace[R abi.Record](memory []byte, recSize int) []R {
	var r R
	if len(memory) < recSize || recSize != abi.Size[R]() || uintptr(unsafe.Pointer(&memory[0]))%unsafe.Alignof(r) != 0 {
		return nil
	}
	return unsafe.Slice((*R)(unsafe.Pointer(&memory[0])), len(memory)/recSize)
}

// scatter writes records at the guest's distance from each other. What only the
// guest knows of a record is zeroed.
func scatter[R abi.Record](dst []byte, records []R, recSize int) {
	src, ours := abi.Bytes(records), abi.Size[R]()
	for n := range records {
		slot := dst[n*recSize : (n+1)*recSize]
		clear(slot[copy(slot, src[n*ours:(n+1)*ours]):])
	}
}
