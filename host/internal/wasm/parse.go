// Package wasm reads and rewrites WebAssembly modules before any compiler or
// engine sees them. It knows the binary format and nothing of rocksnap.
//
// [Parse] reads a module, [Check] holds it to limits, [Instrument] makes a copy that
// can be stopped wherever it is, and [Annotate] replaces a custom section. Section
// numbers in comments are those of the WebAssembly Core Specification 2.0.
package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	magic        = "\x00asm\x01\x00\x00\x00"
	magicMinimum = 4 // "\0asm", which components start with too

	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

// order is in which sections come (5.5.2); custom ones come anywhere.
var order = []byte{sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal,
	sectionExport, sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData}

// Kind is what an import or export is.
type Kind byte

// The kinds, as in the binary format.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
	KindTag
)

// String returns the kind's name.
func (k Kind) String() string {
	return []string{"function", "table", "memory", "global", "tag"}[min(k, KindTag)]
}

// ValueType is the type of a parameter, result or local.
type ValueType byte

// The value types that have names of their own here.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
	F32 ValueType = 0x7d
	F64 ValueType = 0x7c

	v128      ValueType = 0x7b
	funcref   ValueType = 0x70
	externref ValueType = 0x6f
)

// String returns the name of a number type, else the byte.
func (v ValueType) String() string {
	if name, ok := map[ValueType]string{I32: "i32", I64: "i64", F32: "f32", F64: "f64"}[v]; ok {
		return name
	}
	return fmt.Sprintf("%#x", byte(v))
}

// FuncType is a function type.
type FuncType struct {
	Params  []ValueType
	Results []ValueType
}

// Equal tells whether two types are the same.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

// String writes the type as in WebAssembly's text format.
func (t FuncType) String() string {
	names := func(types []ValueType) string {
		var words []string
		for _, v := range types {
			words = append(words, v.String())
		}
		return "(" + strings.Join(words, " ") + ")"
	}
	return names(t.Params) + " -> " + names(t.Results)
}

// Import is something that a module wants.
type Import struct {
	Module, Name string
	Kind         Kind
	TypeIndex    uint32 // of a function
}

// Export is something that a module offers.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Module is the outline of a module: what it wants, offers and takes.
type Module struct {
	Types     []FuncType
	Imports   []Import
	Functions []uint32 // type index of each function that the module defines
	Exports   []Export
	Tables    []uint32 // initial size of each table that the module defines, in entries
	Memories  []uint32 // initial size of each memory that the module defines, in pages
	Globals   int      // that the module defines, as are
	Elements  int      // and
	Data      int      // segments
	Bodies    []Body   // of each function that the module defines
	Sections  []Section

	refers  references
	passive bool // whether there are elements that are not active
}

// Body is where the locals and the code of a function lie in the file.
type Body struct{ Start, End int }

// Section is a section of a module: where it starts, header and all, and ends.
type Section struct {
	Start, End int
	ID         byte
	Custom     string // name of a custom section
	Content    []byte // of a custom section, behind its name
}

// Parse reads a module's outline, and says what to do about a file that is none.
// It takes memory in proportion to the file's size, whatever counts the file
// claims, and leaves no byte unread but those of the functions' bodies, which
// [Check] reads.
func Parse(wasm []byte) (*Module, error) {
	if len(wasm) < len(magic) || string(wasm[:magicMinimum]) != magic[:magicMinimum] {
		return nil, errors.New("not a WebAssembly module")
	}
	if string(wasm[:len(magic)]) != magic {
		if binary.LittleEndian.Uint16(wasm[6:]) == 1 {
			return nil, errors.New("a WebAssembly component: build a core module instead (GOOS=wasip1, or target wasm32)")
		}
		return nil, fmt.Errorf("unknown WebAssembly version %d", binary.LittleEndian.Uint32(wasm[4:]))
	}
	m := new(Module)
	r := &reader{data: wasm, at: len(magic)}
	for last := -1; r.err == nil && r.at < len(wasm); {
		s := m.readSection(r)
		place := slices.Index(order, s.ID)
		if s.ID != sectionCustom && place <= last {
			r.fail(fmt.Errorf("module has section %d twice, out of order, or unknown to WebAssembly 2.0", s.ID))
		}
		last = max(last, place)
	}
	if r.err == nil && len(m.Functions) != len(m.Bodies) {
		r.fail(fmt.Errorf("module declares %d functions and has %d", len(m.Functions), len(m.Bodies)))
	}
	return m, r.err
}

func (m *Module) readSection(r *reader) Section {
	s := Section{Start: r.at}
	s.ID = r.byte()
	content := r.bytes(r.u32())
	s.End = r.at
	body := &reader{data: r.data[:s.End], at: s.End - len(content)}
	if s.ID == sectionCustom {
		s.Custom = body.name()
		s.Content = body.bytes(uint32(s.End - body.at))
	} else {
		m.readContent(s.ID, body)
		body.end(fmt.Sprintf("section %d", s.ID))
		m.refers = m.refers.or(body.refers)
		m.passive = m.passive || body.passive
	}
	if r.err == nil {
		r.err = body.err
	}
	m.Sections = append(m.Sections, s)
	return s
}

func (m *Module) readContent(section byte, r *reader) {
	switch section {
	case sectionType:
		m.Types = vector(r, (*reader).funcType)
	case sectionImport:
		m.Imports = vector(r, (*reader).importEntry)
	case sectionFunction:
		m.Functions = vector(r, (*reader).u32)
	case sectionTable:
		m.Tables = vector(r, (*reader).tableType)
	case sectionMemory:
		m.Memories = vector(r, (*reader).limits)
	case sectionGlobal:
		m.Globals = r.each(r.globalEntry)
	case sectionExport:
		m.Exports = vector(r, (*reader).exportEntry)
	case sectionStart:
		r.function()
	case sectionDataCount:
		r.u32()
	case sectionElement:
		m.Elements = r.each(r.element)
	case sectionCode:
		m.Bodies = vector(r, (*reader).body)
	case sectionData:
		m.Data = r.each(r.segment)
	}
}

// count returns how many things of a kind the module imports.
func (m *Module) count(k Kind) (n int) {
	for _, i := range m.Imports {
		if i.Kind == k {
			n++
		}
	}
	return n
}

// TypeOf returns the type of a function by its index; imports come first.
func (m *Module) TypeOf(index uint32) (FuncType, bool) {
	for _, i := range m.Imports {
		if i.Kind != KindFunction {
			continue
		}
		if index == 0 {
			return m.TypeAt(i.TypeIndex)
		}
		index--
	}
	if int64(index) >= int64(len(m.Functions)) {
		return FuncType{}, false
	}
	return m.TypeAt(m.Functions[index])
}

// TypeAt returns a type by its index.
func (m *Module) TypeAt(index uint32) (FuncType, bool) {
	if int64(index) >= int64(len(m.Types)) {
		return FuncType{}, false
	}
	return m.Types[index], true
}
