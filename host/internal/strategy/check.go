package strategy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

const wasiModule = "wasi_snapshot_preview1"

// wasiAllowed is what a Go guest needs of WASI. There are no files, sockets or
// arguments behind it, clocks and random numbers are made up, and output is kept
// for the error message of a crash.
var wasiAllowed = []string{
	"args_get", "args_sizes_get", "clock_time_get", "environ_get", "environ_sizes_get",
	"fd_close", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_prestat_dir_name", "fd_prestat_get",
	"fd_write", "poll_oneoff", "proc_exit", "random_get", "sched_yield",
}

// outline is a module as it was read, before anything else is done with it.
type outline struct{ *wasm.Module }

// check refuses a module for everything that can be seen without running it.
func (m outline) check(o *Options) error {
	if err := m.checkImports(); err != nil {
		return err
	}
	if err := m.checkGrants(o.Grants); err != nil {
		return err
	}
	if err := m.checkExports(); err != nil {
		return err
	}
	if err := m.checkTables(o.Limits.Table); err != nil {
		return err
	}
	return m.checkMemory(o.Limits.Memory)
}

func (m outline) checkImports() error {
	for _, i := range m.Imports {
		if err := m.checkImport(i); err != nil {
			return fmt.Errorf("import %s.%s: %w", shown(i.Module), shown(i.Name), err)
		}
	}
	return nil
}

func (m outline) checkImport(i wasm.Import) error {
	switch {
	case i.Kind != wasm.KindFunction:
		return fmt.Errorf("only functions can be imported, this is a %s", i.Kind)
	case i.Module == wasiModule:
		if !slices.Contains(wasiAllowed, i.Name) {
			return errors.New("this part of WASI does not exist in the sandbox")
		}
		return nil
	case i.Module != abi.ImportModule:
		return fmt.Errorf("unknown module; this host offers %s and %s", abi.ImportModule, wasiModule)
	}
	f, ok := lookup(i.Name)
	if !ok {
		return fmt.Errorf("unknown function; this host speaks ABI %d.%d", abi.Major, abi.Minor)
	}
	if got, ok := m.TypeAt(i.TypeIndex); !ok || !got.Equal(typeOf(f)) {
		return fmt.Errorf("wrong signature %s, want %s", got, typeOf(f))
	}
	return nil
}

// checkGrants makes an operator's choice hold before a single instruction runs.
func (m outline) checkGrants(granted []abi.Grant) error {
	var missing []string
	var example string
	for _, i := range m.Imports {
		f, ok := lookup(i.Name)
		if !ok || i.Module != abi.ImportModule || f.Grant == "" || slices.Contains(granted, f.Grant) {
			continue
		}
		if name := fmt.Sprintf("%q", f.Grant); !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		if example == "" {
			example = i.Module + "." + i.Name
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("import %s needs a capability: add %s to allow: %w", example, strings.Join(missing, ", "), abi.EPERM)
}

func (m outline) checkExports() error {
	for i := range abi.Exports {
		h := &abi.Exports[i]
		e, ok := m.export(h.Name)
		if !ok && h.Required {
			return m.missing(h.Name)
		}
		if !ok {
			continue
		}
		got, known := m.TypeOf(e.Index)
		if e.Kind != wasm.KindFunction || !known || !got.Equal(typeOf(&h.Func)) {
			return fmt.Errorf("export %s: wrong signature %s, want %s", h.Name, got, typeOf(&h.Func))
		}
	}
	return nil
}

func (m outline) missing(name string) error {
	_, reactor := m.export("_initialize")
	if _, command := m.export("_start"); command && !reactor {
		return errors.New("a command, not a reactor: build with -buildmode=c-shared (Go), crate-type cdylib (Rust) or -mexec-model=reactor (C)")
	}
	return fmt.Errorf("export %s is missing: not a strategy for rocksnap", name)
}

func (m outline) export(name string) (wasm.Export, bool) {
	i := slices.IndexFunc(m.Exports, func(e wasm.Export) bool { return e.Name == name })
	if i < 0 {
		return wasm.Export{}, false
	}
	return m.Exports[i], true
}

// checkTables bounds what the limit of the linear memory does not cover. Growing
// a table takes reference types, which are off.
func (m outline) checkTables(limit int) error {
	for _, need := range m.Tables {
		if int64(need) > int64(limit) {
			return fmt.Errorf("has a table of %d entries, at most %d are allowed: %w", need, limit, abi.EQUOTA)
		}
	}
	return nil
}

func (m outline) checkMemory(limit int64) error {
	if e, ok := m.export("memory"); !ok || e.Kind != wasm.KindMemory || len(m.Memories) != 1 {
		return errors.New("export memory is missing: a module has one memory and exports it")
	}
	if need := int64(m.Memories[0]) * pageSize; need > limit {
		return fmt.Errorf("needs %d KiB of memory to start, limits.memory allows %d KiB: %w", need>>10, limit>>10, abi.EQUOTA)
	}
	return nil
}

// typeOf is the type of a function of the ABI.
func typeOf(f *abi.Func) wasm.FuncType {
	var t wasm.FuncType
	for _, p := range f.Params {
		t.Params = append(t.Params, wasm.ValueType(p.Type))
	}
	if f.Result != abi.None {
		t.Results = []wasm.ValueType{wasm.ValueType(f.Result)}
	}
	return t
}
