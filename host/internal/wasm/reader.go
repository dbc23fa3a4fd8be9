package wasm

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	errTruncated = errors.New("module is cut short")
	errNumber    = errors.New("module has a number that is too long")
)

// reader takes bytes until the first error, which it keeps; from then on it
// yields zeroes.
type reader struct {
	data []byte
	at   int
	err  error

	refers  references
	passive bool // whether there are elements that are not active
}

// references are one more than the highest of each that constants, elements,
// exports and the start refer to.
type references struct{ function, global, table int }

func (a references) or(b references) references {
	return references{max(a.function, b.function), max(a.global, b.global), max(a.table, b.table)}
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
func (r *reader) u32() (value uint32) {
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0xf {
			break
		}
		value |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	r.fail(errNumber)
	return 0
}

// signed reads a signed LEB128 number of so many bytes at most.
func (r *reader) signed(longest int) (value int64) {
	for shift := 0; shift < 7*longest; shift += 7 {
		b := r.byte()
		value |= int64(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 && shift < 57 {
				value |= -1 << (shift + 7)
			}
			return value
		}
	}
	r.fail(errNumber)
	return 0
}

func (r *reader) name() string {
	name := r.bytes(r.u32())
	if !utf8.Valid(name) {
		r.fail(errors.New("module has a name that is not UTF-8"))
	}
	return string(name)
}

// vector reads a counted sequence.
func vector[T any](r *reader, read func(*reader) T) []T {
	var list []T
	r.each(func() { list = append(list, read(r)) })
	return list
}

// each reads a counted sequence and returns its count. An element takes a byte at
// least, so a forged count ends with the data; nothing is set aside for it.
func (r *reader) each(read func()) int {
	n := r.u32()
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail(errTruncated)
		return 0
	}
	for range n {
		if r.err != nil {
			return 0
		}
		read()
	}
	return int(n)
}

// end complains about bytes that are left.
func (r *reader) end(what string) {
	if r.err == nil && r.at < len(r.data) {
		r.fail(fmt.Errorf("module has %d bytes behind the end of %s", len(r.data)-r.at, what))
	}
}

func (r *reader) funcType() FuncType {
	if form := r.byte(); form != 0x60 && r.err == nil {
		r.fail(fmt.Errorf("module has a type of unknown form %#x", form))
	}
	return FuncType{Params: vector(r, (*reader).valueType), Results: vector(r, (*reader).valueType)}
}

func (r *reader) valueType() ValueType {
	v := ValueType(r.byte())
	switch v {
	case I32, I64, F32, F64, v128, funcref, externref:
	default:
		r.fail(fmt.Errorf("module has a value of unknown type %#x", byte(v)))
	}
	return v
}

func (r *reader) importEntry() Import {
	i := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
	switch i.Kind {
	case KindFunction:
		i.TypeIndex = r.u32()
	case KindTable:
		r.tableType()
	case KindMemory:
		r.limits()
	case KindGlobal:
		r.globalType()
	case KindTag:
		r.byte()
		r.u32()
	default:
		r.fail(fmt.Errorf("module has an import of unknown kind %d", i.Kind))
	}
	return i
}

func (r *reader) exportEntry() Export {
	e := Export{Name: r.name(), Kind: Kind(r.byte())}
	e.Index = r.u32()
	switch e.Kind {
	case KindFunction:
		r.refers.function = max(r.refers.function, int(e.Index)+1)
	case KindGlobal:
		r.refers.global = max(r.refers.global, int(e.Index)+1)
	}
	return e
}

// tableType reads a table of functions, or of references to the host's objects, and
// returns its minimum.
func (r *reader) tableType() uint32 {
	r.reference()
	return r.limits()
}

func (r *reader) reference() {
	if form := ValueType(r.byte()); form != funcref && form != externref && r.err == nil {
		r.fail(fmt.Errorf("module has a reference of unknown form %#x", byte(form)))
	}
}

// limits reads the limits of a memory or table and returns the minimum.
func (r *reader) limits() uint32 {
	flags := r.byte()
	if flags > 1 {
		r.fail(fmt.Errorf("module has a memory or table of unknown form %#x: threads and 64-bit memories are not supported", flags))
	}
	minimum := r.u32()
	if flags == 1 {
		r.u32()
	}
	return minimum
}

// function reads the index of one.
func (r *reader) function() { r.refers.function = max(r.refers.function, int(r.u32())+1) }

func (r *reader) globalType() {
	r.valueType()
	if mutable := r.byte(); mutable > 1 {
		r.fail(fmt.Errorf("module has a global of unknown form %#x", mutable))
	}
}

func (r *reader) globalEntry() {
	r.globalType()
	r.constant()
}

// constant reads a constant expression (5.4.9), of one instruction as in
// WebAssembly 2.0.
func (r *reader) constant() {
	switch op := r.byte(); op {
	case opI32Const:
		r.signed(5)
	case 0x42: // i64.const
		r.signed(10)
	case 0x43: // f32.const
		r.bytes(4)
	case 0x44: // f64.const
		r.bytes(8)
	case opGlobalGet:
		r.refers.global = max(r.refers.global, int(r.u32())+1)
	case 0xd2: // ref.func
		r.function()
	case 0xd0: // ref.null
		r.reference()
	case 0xfd:
		if r.byte() != 12 { // v128.const
			r.fail(errConstant)
		}
		r.bytes(16)
	default:
		r.fail(errConstant)
	}
	if r.byte() != opEnd {
		r.fail(errConstant)
	}
}

var errConstant = errors.New("module has a constant expression that is not one of WebAssembly 2.0")

// element reads an element segment (5.5.12). Its form is three flags: passive or
// declarative, with a table's index or declarative, and of expressions.
func (r *reader) element() {
	form := r.u32()
	if form > 7 {
		r.fail(fmt.Errorf("module has elements of unknown form %d", form))
		return
	}
	table := 0
	r.passive = r.passive || form&1 != 0
	if form&3 == 2 {
		table = int(r.u32())
	}
	if form&1 == 0 {
		r.refers.table = max(r.refers.table, table+1)
		r.constant() // offset
	}
	expressions := form&4 != 0
	switch {
	case form&3 == 0: // the type is understood
	case expressions:
		r.reference()
	case r.byte() != 0:
		r.fail(errors.New("module has elements of unknown kind"))
	}
	if expressions {
		r.each(r.constant)
	} else {
		r.each(r.function)
	}
}

// segment reads a data segment (5.5.14): active, passive, or with a memory's index.
func (r *reader) segment() {
	form := r.u32()
	if form > 2 {
		r.fail(fmt.Errorf("module has data of unknown form %d", form))
		return
	}
	if form == 2 {
		r.u32()
	}
	if form != 1 {
		r.constant()
	}
	r.bytes(r.u32())
}

// body finds the code of a function (5.5.13).
func (r *reader) body() Body {
	code := r.bytes(r.u32())
	return Body{Start: r.at - len(code), End: r.at}
}
