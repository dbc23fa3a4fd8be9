package strategy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

const (
	wasiModule = "wasi_snapshot_preview1"
	maxTable   = 1 << 16 // entries of a table, each a word of the host's memory
)

// wasiAllowed is what a Go guest needs of WASI. There are no files, sockets or
// arguments behind it, clocks and random numbers are made up, and output is kept
// for the error message of a crash.
var wasiAllowed = []string{
	"args_get", "args_sizes_get", "clock_time_get", "environ_get", "environ_sizes_get",
	"fd_close", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_prestat_dir_name", "fd_prestat_get",
	"fd_write", "poll_oneoff", "proc_exit", "random_get", "sched_yield",
}

// check refuses a module for everything that can be seen without running it.
func (m *binaryModule) check(o *Options) error {
	if err := m.checkImports(); err != nil {
		return err
	}
	if err := m.checkGrants(o.Grants); err != nil {
		return err
	}
	if err := m.checkExports(); err != nil {
		return err
	}
	if err := m.checkTables(); err != nil {
		return err
	}
	return m.checkMemory(o.Limits.Memory)
}

func (m *binaryModule) checkImports() error {
	for _, i := range m.imports {
		if err := m.checkImport(i); err != nil {
			return fmt.Errorf("import %s.%s: %w", i.module, i.name, err)
		}
	}
	return nil
}

func (m *binaryModule) checkImport(i importEntry) error {
	switch {
	case i.kind != kindFunction:
		return fmt.Errorf("only functions can be imported, this is a %s", kindNames[i.kind])
	case i.module == wasiModule:
		if !slices.Contains(wasiAllowed, i.name) {
			return errors.New("this part of WASI does not exist in the sandbox")
		}
		return nil
	case i.module != abi.ImportModule:
		return fmt.Errorf("unknown module; this host offers %s and %s", abi.ImportModule, wasiModule)
	}
	f, ok := lookup(i.name)
	if !ok {
		return fmt.Errorf("unknown function; this host speaks ABI %d.%d", abi.Major, abi.Minor)
	}
	if got, ok := m.typeAt(i.typeIndex); !ok || !got.matches(f) {
		return fmt.Errorf("wrong signature %s, want %s", got, signatureOf(f))
	}
	return nil
}

// checkGrants makes an operator's choice hold before a single instruction runs.
func (m *binaryModule) checkGrants(granted []abi.Grant) error {
	var missing []string
	var example string
	for _, i := range m.imports {
		f, ok := lookup(i.name)
		if !ok || i.module != abi.ImportModule || f.Grant == "" || slices.Contains(granted, f.Grant) {
			continue
		}
		if name := fmt.Sprintf("%q", f.Grant); !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		if example == "" {
			example = i.module + "." + i.name
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("import %s needs a capability: add %s to allow: %w", example, strings.Join(missing, ", "), abi.EPERM)
}

func (m *binaryModule) checkExports() error {
	for i := range abi.Exports {
		h := &abi.Exports[i]
		e, ok := m.export(h.Name)
		if !ok && h.Required {
			return m.missing(h.Name)
		}
		if !ok {
			continue
		}
		got, known := m.signatureOf(e.index)
		if e.kind != kindFunction || !known || !got.matches(&h.Func) {
			return fmt.Errorf("export %s: wrong signature %s, want %s", h.Name, got, signatureOf(&h.Func))
		}
	}
	return nil
}

func (m *binaryModule) missing(name string) error {
	_, reactor := m.export("_initialize")
	if _, command := m.export("_start"); command && !reactor {
		return errors.New("a command, not a reactor: build with -buildmode=c-shared (Go), crate-type cdylib (Rust) or -mexec-model=reactor (C)")
	}
	return fmt.Errorf("export %s is missing: not a strategy for rocksnap", name)
}

func (m *binaryModule) export(name string) (exportEntry, bool) {
	i := slices.IndexFunc(m.exports, func(e exportEntry) bool { return e.name == name })
	if i < 0 {
		return exportEntry{}, false
	}
	return m.exports[i], true
}

// checkTables bounds what the limit of the linear memory does not cover. Growing
// a table takes reference types, which are off.
func (m *binaryModule) checkTables() error {
	for _, need := range m.tables {
		if need > maxTable {
			return fmt.Errorf("has a table of %d entries, at most %d are allowed: %w", need, maxTable, abi.EQUOTA)
		}
	}
	return nil
}

func (m *binaryModule) checkMemory(limit int64) error {
	if e, ok := m.export("memory"); !ok || e.kind != kindMemory || len(m.memories) != 1 {
		return errors.New("export memory is missing: a module has one memory and exports it")
	}
	if need := int64(m.memories[0]) * pageSize; need > limit {
		return fmt.Errorf("needs %d KiB of memory to start, limits.memory allows %d KiB: %w", need>>10, limit>>10, abi.EQUOTA)
	}
	return nil
}

// signatureOf is the type of a function of the ABI.
func signatureOf(f *abi.Func) signature {
	var s signature
	for _, p := range f.Params {
		s.params = append(s.params, p.Type)
	}
	if f.Result != abi.None {
		s.results = []abi.Type{f.Result}
	}
	return s
}

func (s signature) matches(f *abi.Func) bool {
	want := signatureOf(f)
	return slices.Equal(s.params, want.params) && slices.Equal(s.results, want.results)
}

// String writes the type as in WebAssembly's text format.
func (s signature) String() string {
	names := func(types []abi.Type) string {
		var words []string
		for _, t := range types {
			words = append(words, typeName(t))
		}
		return "(" + strings.Join(words, " ") + ")"
	}
	return names(s.params) + " -> " + names(s.results)
}

func typeName(t abi.Type) string {
	switch t {
	case abi.I32:
		return "i32"
	case abi.I64:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	}
	return fmt.Sprintf("%#x", byte(t))
}
