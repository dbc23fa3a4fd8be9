package wasm

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// fuel is how many bytes of code may run between two checks of the deadline,
// about a millisecond.
const fuel = 1 << 20

// leaf is how long a function without a call may be for its callers to pay for it.
const leaf = 64

// Instrument returns a copy of a module that notices its deadline wherever it is.
//
// An engine looks at the clock at loops only, and a tree of calls has none. Here a
// function pays, as it is entered and behind each call, for all its code up to the
// end, out of a global variable that nothing else can reach. When that is used up
// there is an empty loop. Code behind calls counts, because returning from a deep
// recursion takes as long as entering it. Instructions that move memory or grow it
// take long by themselves, and use up all before each.
//
// Paying is a function of its own. Written out at each place it would run faster,
// but an engine's compiler takes time in the square of the blocks of a function.
//
// The copy has no custom sections but the names of functions: others may hold
// offsets into the code. It depends on nothing but the module, is made in linear
// time, and can be instrumented again to no harm.
func Instrument(wasm []byte) ([]byte, error) { return instrument(wasm, fuel) }

func instrument(wasm []byte, fuel int) ([]byte, error) {
	m, err := Parse(wasm)
	if err != nil {
		return nil, err
	}
	if err := m.checkReferences(); err != nil {
		return nil, err
	}
	w := writer{
		wasm: wasm, m: m, fuel: fuel, out: []byte(magic),
		space: m.space(),
	}
	for _, s := range m.Sections {
		if err := w.section(s); err != nil {
			return nil, err
		}
	}
	return w.out, nil
}

// writer makes the copy.
type writer struct {
	wasm     []byte
	m        *Module
	out      []byte
	fuel     int
	space    space // its ends are the indices of what is added
	declared bool  // whether the variable is
}

func (w *writer) section(s Section) error {
	if s.ID == sectionCustom {
		w.names(s)
		return nil
	}
	if len(w.m.Bodies) == 0 {
		w.copy(s)
		return nil
	}
	if !w.declared && slices.Index(order, s.ID) > slices.Index(order, sectionGlobal) {
		w.extend(Section{ID: sectionGlobal}, w.variable())
	}
	switch s.ID {
	case sectionType:
		w.extend(s, []byte{0x60, 1, byte(I32), 0}) // a parameter, no result
	case sectionFunction:
		w.extend(s, binary.AppendUvarint(nil, uint64(w.space.types)))
	case sectionGlobal:
		w.extend(s, w.variable())
	case sectionCode:
		return w.code()
	default:
		w.copy(s)
	}
	return nil
}

func (w *writer) copy(s Section) { w.out = append(w.out, w.wasm[s.Start:s.End]...) }

// extend appends a section with one more entry.
func (w *writer) extend(s Section, entry []byte) {
	w.declared = w.declared || s.ID == sectionGlobal
	var count uint32
	var entries []byte
	if s.End > 0 {
		r := &reader{data: w.wasm[:s.End], at: s.Start + 1}
		r.u32() // size
		count = r.u32()
		entries = w.wasm[r.at:s.End]
	}
	content := binary.AppendUvarint(nil, uint64(count)+1)
	w.append(s.ID, append(append(content, entries...), entry...))
}

func (w *writer) append(section byte, content []byte) {
	w.out = append(w.out, section)
	w.out = binary.AppendUvarint(w.out, uint64(len(content)))
	w.out = append(w.out, content...)
}

func (w *writer) code() error {
	content := binary.AppendUvarint(make([]byte, 0, len(w.wasm)), uint64(len(w.m.Bodies))+1)
	var body []byte
	for n, b := range w.m.Bodies {
		var err error
		if body, err = w.body(body[:0], b); err != nil {
			return fmt.Errorf("function %d: %w", w.m.count(KindFunction)+n, err)
		}
		content = append(binary.AppendUvarint(content, uint64(len(body))), body...)
	}
	body = w.payBody(body[:0])
	content = append(binary.AppendUvarint(content, uint64(len(body))), body...)
	w.append(sectionCode, content)
	return nil
}

// body appends a function's body. It need not know where blocks end: what is put
// in between instructions leaves the operands alone, so it fits everywhere.
func (w *writer) body(out []byte, b Body) ([]byte, error) {
	r := &reader{data: w.wasm[:b.End], at: b.Start}
	r.locals()
	out = append(out, w.wasm[b.Start:r.at]...)
	entry, start, calls := len(out), r.at, false
	for copied := start; r.err == nil && r.at < b.End; copied = r.at {
		i := r.instruction()
		if err := w.space.reach(i); err != nil {
			return nil, err
		}
		switch i.op {
		case opCall, opCallIndirect:
			calls = true
			out = append(out, w.wasm[copied:r.at]...)
			out = w.charge(out, b.End-r.at+leaf)
			continue
		case opMemoryGrow, opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy:
			out = w.charge(out, w.fuel)
		}
		out = append(out, w.wasm[copied:r.at]...)
	}
	if calls || b.End-start > leaf {
		out = slices.Insert(out, entry, w.charge(nil, b.End-start)...)
	}
	return out, r.err
}

// charge appends what pays for so many bytes of code.
func (w *writer) charge(out []byte, bytes int) []byte {
	out = appendSigned(append(out, opI32Const), bytes)
	return binary.AppendUvarint(append(out, opCall), uint64(w.space.functions))
}

// variable is the global variable that holds the fuel.
func (w *writer) variable() []byte {
	return append(appendSigned([]byte{byte(I32), 1, opI32Const}, w.fuel), opEnd)
}

// payBody appends the body of the function that takes fuel.
func (w *writer) payBody(out []byte) []byte {
	variable := func(op byte) { out = binary.AppendUvarint(append(out, op), uint64(w.space.globals)) }
	out = append(out, 0) // no locals
	variable(opGlobalGet)
	out = append(out, 0x20, 0, 0x6b, 0x22, 0) // local.get 0, i32.sub, local.tee 0
	variable(opGlobalSet)
	out = append(out, 0x20, 0, opI32Const, 1, 0x48, opIf, 0x40) // local.get 0, i32.const 1, i32.lt_s
	out = appendSigned(append(out, opI32Const), w.fuel)
	variable(opGlobalSet)
	return append(out, opLoop, 0x40, opEnd, opEnd, opEnd)
}

// appendSigned appends a signed LEB128 number that is not negative.
func appendSigned(out []byte, n int) []byte {
	for ; n > 0x3f; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

// names keeps the names of functions, which error messages show, and nothing else
// of the section "name". Names that are damaged are left out: an engine that
// believes their counts takes memory for them.
func (w *writer) names(s Section) {
	const functionNames = 1
	if s.Custom != "name" {
		return
	}
	r := &reader{data: s.Content}
	for r.err == nil && r.at < len(r.data) {
		id := r.byte()
		content := r.bytes(r.u32())
		if id == functionNames && wellNamed(content) {
			section := append(binary.AppendUvarint(nil, uint64(len("name"))), "name"...)
			section = append(section, functionNames)
			section = binary.AppendUvarint(section, uint64(len(content)))
			w.append(sectionCustom, append(section, content...))
			return
		}
	}
}

func wellNamed(content []byte) bool {
	r := &reader{data: content}
	r.each(func() {
		r.u32()
		r.name()
	})
	r.end("names")
	return r.err == nil
}
