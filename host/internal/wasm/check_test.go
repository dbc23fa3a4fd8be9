package wasm

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckRealModules(t *testing.T) {
	for name, wasm := range realModules(t) {
		m, err := Parse(wasm)
		require.NoError(t, err, name)
		require.NoError(t, Check(wasm, m, Limits{}), name)
		require.Len(t, m.Bodies, len(m.Functions))
		require.Positive(t, m.Data)
		require.Positive(t, m.Globals)
	}
}

// one is a module of one function with that code.
func one(code ...[]byte) guest {
	return guest{pages: 1, table: 1, functions: []function{{code: slices.Concat(code...)}}}
}

// nested is so many blocks, one in the other.
func nested(op byte, depth int) []byte {
	return append(bytes.Repeat([]byte{op, 0x40}, depth), bytes.Repeat([]byte{opEnd}, depth)...)
}

// branching is a br_table of so many labels besides its default.
func branching(labels int) []byte {
	return slices.Concat(constant(0), []byte{opBrTable}, uleb(labels), make([]byte, labels+1))
}

// bomb takes wazero 28 s and 2.7 GB to compile: each loop has a value for each local.
func bomb(locals, loops, work int) []byte {
	step := []byte{0x20, 0, 0x41, 1, 0x6a, 0x21, 1} // local.get 0, i32.const 1, i32.add, local.set 1
	code := slices.Concat(bytes.Repeat([]byte{opLoop, 0x40}, loops), bytes.Repeat(step, work), bytes.Repeat([]byte{opEnd}, loops))
	return guest{functions: []function{{locals: uint32(locals), code: code}}}.assemble()
}

func TestCheckLimits(t *testing.T) {
	nop := []byte{1}
	small := one(nop).assemble()
	for _, c := range []struct {
		wasm   []byte
		limits Limits
		want   string // "" when it passes
	}{
		{small, Limits{}, ""},
		{small, Limits{Size: len(small)}, ""},
		{small, Limits{Size: len(small) - 1}, "at most"},
		{bomb(3000, 400, 5000), Limits{}, "function 0: 3000 locals and parameters, at most 1000"},
		{bomb(1000, 400, 5000), Limits{}, "function 0: loops nested deeper than 64"},
		{bomb(1000, 60, 6000), Limits{}, "times 1001 locals are too much to compile, at most 40000000"},
		{one(nested(opLoop, 64)).assemble(), Limits{}, ""},
		{one(nested(opLoop, 65)).assemble(), Limits{}, "loops nested deeper than 64"},
		{one(nested(opBlock, 10_000)).assemble(), Limits{}, ""},
		{one(nested(opBlock, 11)).assemble(), Limits{Nesting: 10}, "blocks nested deeper than 10"},
		{one(bytes.Repeat(nested(opBlock, 1), 1<<14+1)).assemble(), Limits{}, "16385 blocks and branches, at most 16384"},
		{one(bytes.Repeat([]byte{0x41, 0, opBrIf, 0}, 1<<14+1)).assemble(), Limits{}, "16385 blocks and branches, at most 16384"},
		{one(branching(1 << 14)).assemble(), Limits{}, ""},
		{one(branching(1<<14 + 1)).assemble(), Limits{}, "a br_table of 16385 labels, at most 16384"},
		{one(bytes.Repeat(nop, 256<<10)).assemble(), Limits{}, "bytes long, at most 262144"},
		{guest{table: 1<<16 + 1, functions: []function{{}}}.assemble(), Limits{}, "table 0 has 65537 entries, at most 65536"},
		{guest{functions: []function{{params: make32(129)}}}.assemble(), Limits{}, "type 0 has 129 parameters or results, at most 128"},
		{guest{functions: make([]function, 11)}.assemble(), Limits{Functions: 10}, "11 functions, at most 10"},
		{guest{functions: make([]function, 11)}.assemble(), Limits{Types: 10}, "11 types, at most 10"},
	} {
		m, err := Parse(c.wasm)
		require.NoError(t, err)
		start := time.Now()
		err = Check(c.wasm, m, c.limits)
		require.Less(t, time.Since(start), time.Second)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}

func make32(n int) []ValueType { return slices.Repeat([]ValueType{I32}, n) }

// TestCheckRefuses is for code that a compiler could take for something else than
// we do, that is of a feature that is off, or that reaches for what we add.
func TestCheckRefuses(t *testing.T) {
	for want, code := range map[string][]byte{
		"written longer than need be":                  {prefixSIMD, 0x8c, 0x00},
		"0xfd009a is not one of":                       {prefixSIMD, 0x9a, 0x01},
		"0xfc000f is not one of":                       slices.Concat([]byte{0xd0, 0x70}, constant(1), []byte{prefixMisc, 15, 0})[2:],
		"0xd0 is not one of":                           {0xd0, 0x70, 0x1a},
		"0x6 is not one of":                            {0x06, 0x40, opEnd},
		"0x12 is not one of":                           {0x12, 0},
		"for memory 1":                                 {0x3f, 1, 0x1a},
		"refers to global 0, the module has 0":         {opGlobalGet, 0, 0x1a},
		"refers to function 1, the module has 1":       {opCall, 1},
		"refers to type 1, the module has 1":           {opBlock, 1, opEnd},
		"refers to type 2, the module has 1":           {0x41, 0, opCallIndirect, 2, 0},
		"2 bytes behind the end of the function":       {opEnd, 1},
		"module is cut short":                          {opBlock, 0x40},
		"a number that is too long":                    {0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x1a},
		"function 0: 4294967295 locals and parameters": nil,
	} {
		g := one(code)
		if code == nil {
			g.functions[0].locals = 1<<32 - 1
		}
		wasm := g.assemble()
		m, err := Parse(wasm)
		require.NoError(t, err, want)
		require.ErrorContains(t, Check(wasm, m, Limits{}), want)
	}
}

// TestParseRefuses is for what is wrong outside of the code.
func TestParseRefuses(t *testing.T) {
	module := func(sections ...[]byte) []byte { return append([]byte(magic), slices.Concat(sections...)...) }
	none := []byte{0x60, 0, 0}
	memory := section(sectionMemory, []byte{0, 1})
	for want, wasm := range map[string][]byte{
		"section 5 twice, out of order":            module(memory, memory),
		"section 1 twice, out of order":            module(memory, section(sectionType, none)),
		"section 13 twice, out of order":           module([]byte{13, 0}),
		"2 bytes behind the end of section 1":      module([]byte{sectionType, 3, 0, 1, 2}),
		"declares 1 functions and has 0":           module(section(sectionType, none), section(sectionFunction, []byte{0})),
		"module is cut short":                      module([]byte{sectionType, 5, 0xff, 0xff, 0xff, 0xff, 0x0f}),
		"a name that is not UTF-8":                 module(custom("\xff", nil)),
		"threads and 64-bit memories":              module(section(sectionMemory, []byte{3, 1, 1})),
		"a type of unknown form 0x5f":              module(section(sectionType, []byte{0x5f, 0, 0})),
		"a value of unknown type 0x63":             module(section(sectionType, []byte{0x60, 1, 0x63, 0})),
		"a constant expression that is not one of": module(section(sectionGlobal, []byte{byte(I32), 0, 0x41, 1, 0x41, 1, 0x6a, opEnd})),
		"elements of unknown form 8":               module(section(sectionElement, []byte{8})),
		"data of unknown form 3":                   module(section(sectionData, []byte{3, 0})),
	} {
		_, err := Parse(wasm)
		require.ErrorContains(t, err, want)
	}
}

// TestCheckElements is for elements on which wazero panics, and for those of a
// table that is not there.
func TestCheckElements(t *testing.T) {
	for want, element := range map[string][]byte{
		"":                                   {0, 0x41, 0, opEnd, 1, 0},
		"need reference types":               {1, 0, 1, 0},
		"refers to table 1, the module":      {2, 1, 0x41, 0, opEnd, 0, 1, 0},
		"refers to function 1, the module":   {0, 0x41, 0, opEnd, 1, 1},
		"refers to global 0, the module has": {0, opGlobalGet, 0, opEnd, 1, 0},
	} {
		types := section(sectionType, []byte{0x60, 0, 0})
		wasm := slices.Concat([]byte(magic), types, section(sectionFunction, []byte{0}), section(sectionTable, []byte{byte(funcref), 0, 1}),
			section(sectionElement, element), section(sectionCode, []byte{2, 0, opEnd}))
		m, err := Parse(wasm)
		require.NoError(t, err)
		if err := Check(wasm, m, Limits{}); want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

// TestParseCutShort reads a module that ends at every byte.
func TestParseCutShort(t *testing.T) {
	wasm := one(constant(1), []byte{opIf, 0x40, opEnd}).assemble()
	whole := 0
	for n := range wasm {
		if _, err := Parse(wasm[:n]); err == nil {
			whole++ // cut between two sections
		}
	}
	require.Less(t, whole, 8)
}

// TestForgedCounts is for modules that claim to have a lot.
func TestForgedCounts(t *testing.T) {
	for id := byte(sectionType); id <= sectionData; id++ {
		wasm := slices.Concat([]byte(magic), []byte{id, 0x80, 0x80, 0x40}, []byte{0xff, 0xff, 0x3f}, make([]byte, 1<<20-3))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Parse(wasm) // whatever it says
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), fmt.Sprint("section ", id))
	}
}
