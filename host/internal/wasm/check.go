package wasm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Limits bound what a compiler is given: its time and memory grow with all of
// these, and faster than with the size of the file. A zero field stands for its
// default, which is several times of what a large Go module has.
type Limits struct {
	Size      int // bytes of the file; default 16 MiB
	Types     int // default 10,000
	Values    int // parameters of a type, and results; default 128
	Imports   int // default 1,000
	Functions int // that the module defines; default 100,000
	Globals   int // default 10,000
	Exports   int // default 10,000
	Elements  int // segments; default 10,000
	Data      int // segments; default 1,000,000
	Tables    int // default 2
	Table     int // entries of a table to start with; default 65,536
	Body      int // bytes of a function; default 256 KiB
	Locals    int // of a function, parameters included; default 1,000
	Work      int // bytes of a function, and values that its branches and calls move, times its locals; default 40,000,000
	Nesting   int // blocks within blocks; default 16,384, as Go has one for each call of a function
	Blocks    int // and branches and bulk instructions of a function; default 16,384. wazero takes time in their square
	Loops     int // loops within loops; default 64
	Labels    int // of a br_table; default 16,384
}

func (l Limits) orDefaults() Limits {
	set := func(field *int, value int) { *field = cmp.Or(*field, value) }
	set(&l.Size, 16<<20)
	set(&l.Types, 10_000)
	set(&l.Values, 128)
	set(&l.Imports, 1_000)
	set(&l.Functions, 100_000)
	set(&l.Globals, 10_000)
	set(&l.Exports, 10_000)
	set(&l.Elements, 10_000)
	set(&l.Data, 1_000_000)
	set(&l.Tables, 2)
	set(&l.Table, 1<<16)
	set(&l.Body, 256<<10)
	set(&l.Locals, 1_000)
	set(&l.Work, 40_000_000)
	set(&l.Nesting, 1<<14)
	set(&l.Blocks, 1<<14)
	set(&l.Loops, 64)
	set(&l.Labels, 1<<14)
	return l
}

// Check holds a module that [Parse] read to limits, and reads its code, in time
// that is linear in its size. A module that passes can be given to [Instrument]
// and to a compiler, which still has to check its types. Errors name the limit,
// and the index of the function.
func Check(wasm []byte, m *Module, l Limits) error {
	l = l.orDefaults()
	if err := m.checkCounts(len(wasm), l); err != nil {
		return err
	}
	if err := cmp.Or(m.checkTables(l), m.checkReferences()); err != nil {
		return err
	}
	c := checker{m: m, limits: l, functions: m.functionTypes(), space: m.space()}
	for n, b := range m.Bodies {
		if err := c.body(wasm, n, b); err != nil {
			return fmt.Errorf("function %d: %w", m.count(KindFunction)+n, err)
		}
	}
	return nil
}

func (m *Module) checkCounts(size int, l Limits) error {
	for _, c := range []struct {
		what      string
		has, most int
	}{
		{"bytes", size, l.Size}, {"types", len(m.Types), l.Types}, {"imports", len(m.Imports), l.Imports},
		{"functions", len(m.Functions), l.Functions}, {"globals", m.space().globals, l.Globals},
		{"exports", len(m.Exports), l.Exports}, {"element segments", m.Elements, l.Elements}, {"data segments", m.Data, l.Data},
		{"tables", len(m.Tables) + m.count(KindTable), l.Tables}, {"memories", len(m.Memories) + m.count(KindMemory), 1},
	} {
		if c.has > c.most {
			return fmt.Errorf("module has %d %s, at most %d are allowed", c.has, c.what, c.most)
		}
	}
	for n, t := range m.Types {
		if most := max(len(t.Params), len(t.Results)); most > l.Values {
			return fmt.Errorf("type %d has %d parameters or results, at most %d are allowed", n, most, l.Values)
		}
	}
	return nil
}

// checkTables bounds tables, and refuses elements on which wazero 1.12 panics: it
// takes all for active ones unless reference types are on.
func (m *Module) checkTables(l Limits) error {
	for n, entries := range m.Tables {
		if int64(entries) > int64(l.Table) {
			return fmt.Errorf("table %d has %d entries, at most %d are allowed", n, entries, l.Table)
		}
	}
	if has := len(m.Tables) + m.count(KindTable); m.refers.table > has {
		return absent("table", uint32(m.refers.table-1), has)
	}
	if m.passive {
		return errors.New("module has passive or declarative elements, which need reference types, and these are off")
	}
	return nil
}

// space is how many of each there are, imports included.
type space struct{ types, functions, globals int }

func (m *Module) space() space {
	return space{len(m.Types), m.count(KindFunction) + len(m.Functions), m.count(KindGlobal) + m.Globals}
}

// checkReferences refuses what refers to things that do not exist. A compiler
// would too, but [Instrument] adds a type, a function and a global, which nobody
// may reach.
func (m *Module) checkReferences() error {
	s := m.space()
	types := slices.Clone(m.Functions)
	for _, i := range m.Imports {
		if i.Kind == KindFunction {
			types = append(types, i.TypeIndex)
		}
	}
	for _, index := range types {
		if int(index) >= s.types {
			return absent("type", index, s.types)
		}
	}
	if m.refers.function > s.functions {
		return absent("function", uint32(m.refers.function-1), s.functions)
	}
	if m.refers.global > s.globals {
		return absent("global", uint32(m.refers.global-1), s.globals)
	}
	return nil
}

// reach does the same for an instruction.
func (s space) reach(i instruction) error {
	what, index, has := "", int64(i.index), 0
	switch i.op {
	case opBlock, opLoop, opIf:
		what, index, has = "type", i.block, s.types
	case opCallIndirect:
		what, has = "type", s.types
	case opCall:
		what, has = "function", s.functions
	case opGlobalGet, opGlobalSet:
		what, has = "global", s.globals
	}
	if what != "" && index >= int64(has) {
		return absent(what, uint32(index), has)
	}
	return nil
}

func absent(what string, index uint32, has int) error {
	return fmt.Errorf("refers to %s %d, the module has %d", what, index, has)
}

// functionTypes returns the type of every function, imports first.
func (m *Module) functionTypes() (types []FuncType) {
	add := func(index uint32) {
		t, _ := m.TypeAt(index)
		types = append(types, t)
	}
	for _, i := range m.Imports {
		if i.Kind == KindFunction {
			add(i.TypeIndex)
		}
	}
	for _, index := range m.Functions {
		add(index)
	}
	return types
}

// checker reads the bodies of a module.
type checker struct {
	m         *Module
	limits    Limits
	functions []FuncType
	space     space

	// Of the function at hand:
	open   []block
	blocks int // and branches so far
	loops  int // that are open
	moved  int // values that blocks, branches and calls move
}

// block is one that is open.
type block struct {
	loop  bool
	moved int // values that a branch to it moves
}

func (c *checker) body(wasm []byte, n int, b Body) error {
	size := b.End - b.Start
	if size > c.limits.Body {
		return fmt.Errorf("%d bytes long, at most %d are allowed", size, c.limits.Body)
	}
	r := &reader{data: wasm[:b.End], at: b.Start}
	t := c.functions[len(c.functions)-len(c.m.Bodies)+n]
	locals := r.locals() + uint64(len(t.Params))
	if r.err == nil && locals > uint64(c.limits.Locals) {
		return fmt.Errorf("%d locals and parameters, at most %d are allowed", locals, c.limits.Locals)
	}
	c.open = append(c.open[:0], block{moved: len(t.Results)})
	c.blocks, c.loops, c.moved = 0, 0, 0
	for r.err == nil && len(c.open) > 0 {
		if err := c.step(r.instruction()); err != nil {
			return err
		}
	}
	r.end("the function")
	if r.err == nil && c.blocks > c.limits.Blocks {
		return fmt.Errorf("%d blocks and branches, at most %d are allowed", c.blocks, c.limits.Blocks)
	}
	if work := (size + c.moved) * int(1+locals); r.err == nil && work > c.limits.Work {
		return fmt.Errorf("%d bytes and values times %d locals are too much to compile, at most %d are allowed", size+c.moved, 1+locals, c.limits.Work)
	}
	return r.err
}

// step follows the blocks through an instruction.
func (c *checker) step(i instruction) error {
	if err := c.space.reach(i); err != nil {
		return err
	}
	switch i.op {
	case opBlock, opLoop, opIf:
		return c.enter(i)
	case opEnd:
		c.leave()
	case opBr, opBrIf:
		c.blocks++
		c.moved += c.label(i.index)
	case opBrTable:
		if i.more > c.limits.Labels {
			return fmt.Errorf("a br_table of %d labels, at most %d are allowed", i.more, c.limits.Labels)
		}
		c.moved += c.label(i.index) * (1 + i.more)
	case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy:
		c.blocks++ // a loop in the end
	case opCall:
		c.moved += values(c.functions[i.index])
	case opCallIndirect:
		c.moved += values(c.m.Types[i.index])
	}
	return nil
}

func (c *checker) enter(i instruction) error {
	c.blocks++
	b := block{loop: i.op == opLoop, moved: 1}
	if i.block >= 0 {
		b.moved = values(c.m.Types[i.block])
	}
	c.moved += b.moved
	if c.open = append(c.open, b); len(c.open)-1 > c.limits.Nesting {
		return fmt.Errorf("blocks nested deeper than %d", c.limits.Nesting)
	}
	if b.loop {
		c.loops++
	}
	if c.loops > c.limits.Loops {
		return fmt.Errorf("loops nested deeper than %d", c.limits.Loops)
	}
	return nil
}

func (c *checker) leave() {
	last := len(c.open) - 1
	if c.open[last].loop {
		c.loops--
	}
	c.open = c.open[:last]
}

func (c *checker) label(depth uint32) int {
	if int64(depth) >= int64(len(c.open)) {
		return 0 // for the compiler to refuse
	}
	return c.open[len(c.open)-1-int(depth)].moved
}

func values(t FuncType) int { return len(t.Params) + len(t.Results) }
