package wasm

import (
	"errors"
	"fmt"
)

var errTruncated = errors.New("module is cut short")

// reader takes bytes until the first error, which it keeps; from then on it
// yields zeroes.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.data)
}

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.fail(errTruncated)
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail(errTruncated)
		return nil
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at]
}

// u32 reads an unsigned LEB128 number.
func (r *reader) u32() uint32 { return uint32(r.leb(5)) }

func (r *reader) leb(longest int) (value uint64) {
	for i := range longest {
		b := r.byte()
		value |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return value
		}
	}
	r.fail(errors.New("module has a number that is too long"))
	return 0
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// vector reads a counted sequence. Every element takes a byte at least, so a
// forged count cannot make it allocate more than the module's own size.
func vector[T any](r *reader, read func(*reader) T) []T {
	n := r.u32()
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail(errTruncated)
		return nil
	}
	list := make([]T, 0, n)
	for range n {
		if r.err != nil {
			return nil
		}
		list = append(list, read(r))
	}
	return list
}

func (r *reader) funcType() FuncType {
	if form := r.byte(); form != 0x60 && r.err == nil {
		r.fail(fmt.Errorf("module has a type of unknown form %#x", form))
	}
	return FuncType{Params: vector(r, (*reader).valueType), Results: vector(r, (*reader).valueType)}
}

func (r *reader) valueType() ValueType { return ValueType(r.byte()) }

func (r *reader) importEntry() Import {
	i := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
	switch i.Kind {
	case KindFunction:
		i.TypeIndex = r.u32()
	case KindTable:
		r.byte()
		r.limits()
	case KindMemory:
		r.limits()
	case KindGlobal:
		r.bytes(2)
	case KindTag:
		r.bytes(1)
		r.u32()
	default:
		r.fail(fmt.Errorf("module has an import of unknown kind %d", i.Kind))
	}
	return i
}

func (r *reader) exportEntry() Export {
	return Export{Name: r.name(), Kind: Kind(r.byte()), Index: r.u32()}
}

// table reads a table of functions, or of references to the host's objects, and
// returns its minimum.
func (r *reader) table() uint32 {
	if form := r.byte(); form != 0x70 && form != 0x6f && r.err == nil {
		r.fail(fmt.Errorf("module has a table of unknown form %#x", form))
	}
	return r.limits()
}

// limits reads the limits of a memory or table and returns the minimum.
func (r *reader) limits() uint32 {
	flags := r.byte()
	minimum := r.u32()
	if flags&1 != 0 {
		r.u32()
	}
	return minimum
}
