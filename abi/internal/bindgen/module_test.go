package main

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// module is what a WebAssembly module imports ("module.name") and exports, each
// with its type.
type module struct {
	imports, exports map[string]string

	types     []string // by index
	functions []string // types by function index, imports first
}

// readModule reads the sections of a module that the compilers here make. It is
// no parser for modules of strangers.
func readModule(t *testing.T, name string) *module {
	t.Helper()
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	in := &bytesIn{t, file}
	require.Equal(t, "\x00asm\x01\x00\x00\x00", string(in.take(8)))
	m := &module{imports: make(map[string]string), exports: make(map[string]string)}
	for len(in.left) > 0 {
		id := in.take(1)[0]
		section := &bytesIn{t, in.take(in.number())}
		switch id {
		case 1:
			section.each(m.readType)
		case 2:
			section.each(m.readImport)
		case 3:
			section.each(func(in *bytesIn) { m.functions = append(m.functions, m.types[in.number()]) })
		case 7:
			section.each(m.readExport)
		}
	}
	return m
}

func (m *module) readType(in *bytesIn) {
	require.Equal(in.t, byte(0x60), in.take(1)[0])
	params := in.valueTypes()
	m.types = append(m.types, typeText(params, in.valueTypes()))
}

func (m *module) readImport(in *bytesIn) {
	name := in.name() + "." + in.name()
	require.Equal(in.t, byte(0), in.take(1)[0], "%s is a function", name)
	m.imports[name] = m.types[in.number()]
	m.functions = append(m.functions, m.imports[name])
}

func (m *module) readExport(in *bytesIn) {
	name, kind, index := in.name(), in.take(1)[0], in.number()
	switch kind {
	case 0:
		m.exports[name] = m.functions[index]
	case 2:
		m.exports[name] = "memory"
	}
}

// typeText writes a function type: (i32 i64) -> (i32).
func typeText(params, results []abi.Type) string {
	list := func(types []abi.Type) string {
		var names []string
		for _, t := range types {
			names = append(names, wasm(t))
		}
		return "(" + strings.Join(names, " ") + ")"
	}
	return list(params) + " -> " + list(results)
}

// bytesIn is the rest of a section.
type bytesIn struct {
	t    *testing.T
	left []byte
}

func (in *bytesIn) take(n int) []byte {
	require.LessOrEqual(in.t, n, len(in.left))
	taken := in.left[:n]
	in.left = in.left[n:]
	return taken
}

func (in *bytesIn) number() int {
	n, size := binary.Uvarint(in.left)
	require.Positive(in.t, size)
	in.take(size)
	return int(n)
}

func (in *bytesIn) name() string { return string(in.take(in.number())) }

func (in *bytesIn) valueTypes() []abi.Type {
	var types []abi.Type
	for _, b := range in.take(in.number()) {
		types = append(types, abi.Type(b))
	}
	return types
}

func (in *bytesIn) each(read func(*bytesIn)) {
	for range in.number() {
		read(in)
	}
}
