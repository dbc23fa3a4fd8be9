package guest

import (
	"unsafe"

	"github.com/rocksnap/rocksnap/abi"
)

// firstBuffer is offered to the host before a length is known: nearly every
// name and configuration fits, which saves the second call.
const firstBuffer = 1 << 10

// count turns what a function returned into a value or an error.
func count(call string, result int32) (int, error) {
	if result >= 0 {
		return int(result), nil
	}
	return 0, failure(call, abi.Errno(-result))
}

func check(call string, result int32) error {
	_, err := count(call, result)
	return err
}

// failure fetches the text of an error, unless that fails too.
func failure(call string, errno abi.Errno) error {
	text, result := fill(errorGet)
	if result < 0 || len(text) == 0 {
		text = []byte(call + ": " + errno.Error())
	}
	return &abi.Error{Errno: errno, Text: string(text)}
}

// read calls a function of the form (buf, limit) -> length.
func read(call string, get func(buf unsafe.Pointer, limit uint32) int32) ([]byte, error) {
	value, result := fill(get)
	if result < 0 {
		return nil, failure(call, abi.Errno(-result))
	}
	return value, nil
}

// fill offers ever larger buffers: what is read may have grown since the host
// told its length.
func fill(get func(buf unsafe.Pointer, limit uint32) int32) ([]byte, int32) {
	buf := make([]byte, firstBuffer)
	for {
		n := get(pointer(buf), length(buf))
		if n < 0 {
			return nil, n
		}
		if int(n) <= len(buf) {
			return buf[:n], n
		}
		buf = make([]byte, n)
	}
}

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func length(b []byte) uint32 { return uint32(len(b)) }

func size[R abi.Record]() uint32 { return uint32(abi.Size[R]()) }
