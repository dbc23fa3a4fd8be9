package strategy

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

// The parts of the WebAssembly binary format that tell what a module wants and
// offers. Function bodies are left to the compiler. Numbers are those of the
// WebAssembly Core Specification, section 5.5.
const (
	magic        = "\x00asm\x01\x00\x00\x00"
	magicMinimum = 4 // "\0asm", which components start with too

	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionExport   = 7

	kindFunction = 0
	kindTable    = 1
	kindMemory   = 2
	kindGlobal   = 3
	kindTag      = 4
)

var kindNames = []string{"function", "table", "memory", "global", "tag"}

var errTruncated = errors.New("module is cut short")

// signature is a function type.
type signature struct {
	params  []abi.Type
	results []abi.Type
}

type importEntry struct {
	module, name string
	kind         byte
	typeIndex    uint32
}

type exportEntry struct {
	name  string
	kind  byte
	index uint32
}

// binaryModule is what parse found.
type binaryModule struct {
	types     []signature
	imports   []importEntry
	functions []uint32 // type index of each function that the module defines
	exports   []exportEntry
	tables    []uint32 // initial size of each table that the module defines, in entries
	memories  []uint32 // initial size of each memory that the module defines, in pages
	sections  []section
}

// section is a section of a module: where it starts, header and all, and ends.
type section struct {
	start, end int
	custom     string // name of a custom section
	content    []byte // of a custom section, behind its name
	isCustom   bool
}

// parse reads a module's outline, and says what to do about a file that is none.
func parse(wasm []byte) (*binaryModule, error) {
	if len(wasm) < len(magic) || string(wasm[:magicMinimum]) != magic[:magicMinimum] {
		return nil, errors.New("not a WebAssembly module")
	}
	if string(wasm[:len(magic)]) != magic {
		if binary.LittleEndian.Uint16(wasm[6:]) == 1 {
			return nil, errors.New("a WebAssembly component: build a core module instead (GOOS=wasip1, or target wasm32)")
		}
		return nil, fmt.Errorf("unknown WebAssembly version %d", binary.LittleEndian.Uint32(wasm[4:]))
	}
	m := new(binaryModule)
	r := &reader{data: wasm, at: len(magic)}
	for r.err == nil && r.at < len(wasm) {
		m.readSection(r)
	}
	return m, r.err
}

func (m *binaryModule) readSection(r *reader) {
	s := section{start: r.at}
	id := r.byte()
	body := &reader{data: r.bytes(r.u32())}
	s.end = r.at
	switch id {
	case sectionCustom:
		s.isCustom, s.custom = true, body.name()
		s.content = body.data[body.at:]
	case sectionType:
		m.types = vector(body, (*reader).signature)
	case sectionImport:
		m.imports = vector(body, (*reader).importEntry)
	case sectionFunction:
		m.functions = vector(body, (*reader).u32)
	case sectionTable:
		m.tables = vector(body, (*reader).table)
	case sectionMemory:
		m.memories = vector(body, (*reader).limits)
	case sectionExport:
		m.exports = vector(body, (*reader).exportEntry)
	}
	if r.err == nil {
		r.err = body.err
	}
	m.sections = append(m.sections, s)
}

// signatureOf returns the type of a function by its index; imports come first.
func (m *binaryModule) signatureOf(index uint32) (signature, bool) {
	for _, i := range m.imports {
		if i.kind != kindFunction {
			continue
		}
		if index == 0 {
			return m.typeAt(i.typeIndex)
		}
		index--
	}
	if int64(index) >= int64(len(m.functions)) {
		return signature{}, false
	}
	return m.typeAt(m.functions[index])
}

func (m *binaryModule) typeAt(index uint32) (signature, bool) {
	if int64(index) >= int64(len(m.types)) {
		return signature{}, false
	}
	return m.types[index], true
}

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

func (r *reader) signature() signature {
	if form := r.byte(); form != 0x60 && r.err == nil {
		r.fail(fmt.Errorf("module has a type of unknown form %#x", form))
	}
	return signature{params: vector(r, (*reader).valueType), results: vector(r, (*reader).valueType)}
}

func (r *reader) valueType() abi.Type { return abi.Type(r.byte()) }

func (r *reader) importEntry() importEntry {
	i := importEntry{module: r.name(), name: r.name(), kind: r.byte()}
	switch i.kind {
	case kindFunction:
		i.typeIndex = r.u32()
	case kindTable:
		r.byte()
		r.limits()
	case kindMemory:
		r.limits()
	case kindGlobal:
		r.bytes(2)
	case kindTag:
		r.bytes(1)
		r.u32()
	default:
		r.fail(fmt.Errorf("module has an import of unknown kind %d", i.kind))
	}
	return i
}

func (r *reader) exportEntry() exportEntry {
	return exportEntry{name: r.name(), kind: r.byte(), index: r.u32()}
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
