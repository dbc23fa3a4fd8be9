package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// opcode is the number of an instruction; behind a prefix, with the prefix in the
// third byte.
type opcode uint32

const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opCall         = 0x10
	opCallIndirect = 0x11
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemoryGrow   = 0x40
	opI32Const     = 0x41

	prefixMisc = 0xfc
	prefixSIMD = 0xfd

	opMemoryInit opcode = prefixMisc<<16 | 8
	opMemoryCopy opcode = prefixMisc<<16 | 10
	opMemoryFill opcode = prefixMisc<<16 | 11
	opTableInit  opcode = prefixMisc<<16 | 12
	opTableCopy  opcode = prefixMisc<<16 | 14
)

// immediate is what follows an opcode.
type immediate byte

const (
	refused immediate = iota // unknown, or of a proposal that is off
	nothing
	blockType
	index   // and for a call, a branch or a variable, which one
	indexes // of a type and a table
	labels
	zero  // a byte that is zero
	zeros // two of them
	indexZero
	address     // alignment and offset
	addressLane // and a lane
	lane
	number32
	number64
	bytes4
	bytes8
	bytes16
)

// span gives instructions from first to last what follows them.
type span struct {
	first, last int
	immediate   immediate
}

func table(spans ...span) (t [256]immediate) {
	for _, s := range spans {
		for n := s.first; n <= s.last; n++ {
			t[n] = s.immediate
		}
	}
	return t
}

// The instructions of WebAssembly 2.0 (5.4) without those of reference types.
var (
	plain = table(
		span{0x00, 0x01, nothing}, span{opBlock, opIf, blockType}, span{opElse, opElse, nothing}, span{opEnd, opEnd, nothing},
		span{opBr, opBrIf, index}, span{opBrTable, opBrTable, labels}, span{0x0f, 0x0f, nothing},
		span{opCall, opCall, index}, span{opCallIndirect, opCallIndirect, indexes}, span{0x1a, 0x1b, nothing},
		span{0x20, 0x24, index}, span{0x28, 0x3e, address}, span{0x3f, opMemoryGrow, zero},
		span{0x41, 0x41, number32}, span{0x42, 0x42, number64}, span{0x43, 0x43, bytes4}, span{0x44, 0x44, bytes8},
		span{0x45, 0xc4, nothing})
	misc = table(span{0, 7, nothing}, span{8, 8, indexZero}, span{9, 9, index}, span{10, 10, zeros}, span{11, 11, zero},
		span{12, 12, indexes}, span{13, 13, index}, span{14, 14, indexes})
	simd = table(
		span{0x00, 0x0b, address}, span{0x0c, 0x0d, bytes16}, span{0x0e, 0x14, nothing}, span{0x15, 0x22, lane},
		span{0x23, 0x53, nothing}, span{0x54, 0x5b, addressLane}, span{0x5c, 0x5d, address},
		span{0x5e, 0x99, nothing}, span{0x9b, 0xa1, nothing}, span{0xa3, 0xa4, nothing}, span{0xa7, 0xae, nothing},
		span{0xb1, 0xb1, nothing}, span{0xb5, 0xba, nothing}, span{0xbc, 0xc1, nothing}, span{0xc3, 0xc4, nothing},
		span{0xc7, 0xce, nothing}, span{0xd1, 0xd1, nothing}, span{0xd5, 0xe1, nothing}, span{0xe3, 0xed, nothing},
		span{0xef, 0xff, nothing})
)

// instruction is one instruction of a body.
type instruction struct {
	op    opcode
	index uint32 // of a function, type, label or variable; of a br_table, its default
	block int64  // type of a block: an index, or negative
	more  int    // labels of a br_table besides its default
}

// instruction reads the next instruction.
func (r *reader) instruction() (i instruction) {
	op := r.byte()
	i.op = opcode(op)
	kinds := &plain
	if op == prefixMisc || op == prefixSIMD {
		number := r.shortest()
		i.op = opcode(op)<<16 | opcode(number&0xff)
		kinds = &misc
		if op == prefixSIMD {
			kinds = &simd
		}
		op = byte(number)
	}
	if r.err == nil && kinds[op] == refused {
		r.fail(fmt.Errorf("instruction %#x is not one of WebAssembly 2.0 without reference types", uint32(i.op)))
		return i
	}
	r.immediate(kinds[op], &i)
	return i
}

// shortest reads the number behind a prefix, of a byte as they all are. wazero
// takes one byte whatever follows it: it would take a number that is written
// longer than need be for another one, and run what we believe is skipped.
func (r *reader) shortest() uint32 {
	start := r.at
	n := r.u32()
	if n > 0xff || r.at-start != len(binary.AppendUvarint(nil, uint64(n))) {
		r.fail(fmt.Errorf("instruction %#x behind a prefix is unknown, or is written longer than need be", n))
		return 0
	}
	return n
}

func (r *reader) immediate(kind immediate, i *instruction) {
	switch kind {
	case blockType:
		i.block = r.signed(5)
	case index:
		i.index = r.u32()
	case indexes:
		i.index = r.u32()
		r.u32()
	case labels:
		i.more = r.each(func() { r.u32() })
		i.index = r.u32()
	case zero:
		r.zeros(1)
	case zeros:
		r.zeros(2)
	case indexZero:
		i.index = r.u32()
		r.zeros(1)
	case number32:
		r.signed(5)
	case number64:
		r.signed(10)
	default:
		r.fixed(kind)
	}
}

// sizes are those of the immediates that have a fixed one, in bytes.
var sizes = [...]uint32{lane: 1, addressLane: 1, bytes4: 4, bytes8: 8, bytes16: 16}

// fixed reads immediates that say nothing to us.
func (r *reader) fixed(kind immediate) {
	if kind == address || kind == addressLane {
		r.u32()
		r.u32()
	}
	r.bytes(sizes[kind])
}

func (r *reader) zeros(n uint32) {
	for _, b := range r.bytes(n) {
		if b != 0 {
			r.fail(fmt.Errorf("instruction for memory %d, there is one memory only", b))
		}
	}
}

// locals reads the declarations before a function's code and returns how many
// locals there are.
func (r *reader) locals() (n uint64) {
	r.each(func() {
		n += uint64(r.u32())
		if v := r.valueType(); v == funcref || v == externref {
			r.fail(errors.New("a local is a reference, these are off"))
		}
	})
	return n
}
