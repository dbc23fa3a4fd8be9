package main

import (
	"bytes"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"text/template"

	"github.com/rocksnap/rocksnap/abi"
)

//go:embed templates
var templates embed.FS

// render fills in the template of a language.
func (m *model) render(language string) ([]byte, error) {
	name := language + ".tmpl"
	t, err := template.New(name).Funcs(template.FuncMap{
		"snake":    snake,
		"upper":    func(name string) string { return strings.ToUpper(snake(name)) },
		"literal":  literal,
		"phases":   phaseNames,
		"c":        c,
		"cParams":  params(cParam, "void"),
		"rsParams": params(rustParam, ""),
		"tsParams": params(scriptParam, ""),
		"short":    short,
		"wasm":     wasm,
	}).ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, m)
	return out.Bytes(), err
}

// pointers tells which parameters are addresses in the guest's memory, and
// whether the host writes there.
var pointers = map[string]struct{ written bool }{
	"buf": {true}, "ptr": {false}, "key": {false},
}

// params returns a function that writes a parameter list.
func params(one func(abi.Param) string, none string) func([]abi.Param) string {
	return func(list []abi.Param) string {
		if len(list) == 0 {
			return none
		}
		texts := make([]string, len(list))
		for i, p := range list {
			texts[i] = one(p)
		}
		return strings.Join(texts, ", ")
	}
}

func cParam(p abi.Param) string {
	pointer, ok := pointers[p.Name]
	switch {
	case ok && pointer.written:
		return "void *" + p.Name
	case ok:
		return "const void *" + p.Name
	}
	return c(unsigned(p.Type)) + " " + p.Name
}

func rustParam(p abi.Param) string {
	pointer, ok := pointers[p.Name]
	switch {
	case ok && pointer.written:
		return p.Name + ": *mut u8"
	case ok:
		return p.Name + ": *const u8"
	}
	return p.Name + ": " + short(unsigned(p.Type))
}

func scriptParam(p abi.Param) string {
	if _, ok := pointers[p.Name]; ok {
		return p.Name + ": usize"
	}
	return p.Name + ": " + short(unsigned(p.Type))
}

// unsigned returns the Go type of a parameter.
func unsigned(t abi.Type) string {
	if t == abi.I64 {
		return "uint64"
	}
	return "uint32"
}

// c returns the type of C for a Go type: uint32_t.
func c(goType string) string { return goType + "_t" }

// short returns the type of Rust and AssemblyScript for a Go type: u32.
func short(goType string) string {
	return strings.NewReplacer("uint", "u", "int", "i").Replace(goType)
}

// wasm returns the type of WebAssembly for a parameter or result.
func wasm(t abi.Type) string {
	if t == abi.I64 {
		return "i64"
	}
	return "i32"
}

// literal writes a constant: sets of all bits in hexadecimal, as they are read.
func literal(v uint64) string {
	if v == uint64(abi.NoFamily) {
		return fmt.Sprintf("%#x", v)
	}
	return strconv.FormatUint(v, 10)
}
