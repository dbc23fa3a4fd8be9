package main

import (
	"fmt"
	"iter"
	"reflect"
	"strings"
	"unicode"

	"github.com/rocksnap/rocksnap/abi"
)

// model is the contract as the templates see it.
type model struct {
	Module  string
	Groups  []group
	Records []record
	Imports []abi.Func
	Exports []abi.Hook
}

// Version is what the module of the templates says that it was built for.
func (*model) Version() int { return abi.Version }

// NotImplemented is the result of a function that does nothing.
func (*model) NotImplemented() int { return -int(abi.ENOSYS) }

// record is the layout of a record that crosses the boundary.
type record struct {
	Name   string // as in Go
	Doc    string
	Size   uintptr // bytes
	Fields []field
}

// field is one number in a record.
type field struct {
	Name   string  // as on the wire
	Type   string  // as in Go: uint32
	Offset uintptr // bytes
	Doc    string
}

// records lists one value of every type of [abi.Record].
var records = []any{
	abi.Info{}, abi.File{}, abi.Upload{}, abi.Reuse{}, abi.Fetch{},
	abi.Completion{}, abi.Base{}, abi.Family{}, abi.Export{}, abi.StreamSpec{},
}

func newModel(dir string) (*model, error) {
	src, err := parse(dir)
	if err != nil {
		return nil, err
	}
	m := &model{Module: abi.ImportModule, Imports: abi.Imports, Exports: abi.Exports}
	if m.Groups, err = src.groups(); err != nil {
		return nil, err
	}
	for _, r := range records {
		t := reflect.TypeOf(r)
		layout, err := layoutOf(t)
		if err != nil {
			return nil, err
		}
		m.Records = append(m.Records, record{t.Name(), src.typeDoc(t.Name()), t.Size(), layout})
	}
	return m, nil
}

// layoutOf lists the numbers of a record and demands that they fill it.
func layoutOf(t reflect.Type) ([]field, error) {
	var fields []field
	end := uintptr(0)
	for f := range structFields(t) {
		if f.Offset != end || f.Offset%f.Type.Size() != 0 {
			return nil, fmt.Errorf("%s.%s at offset %d: padding before it", t.Name(), f.Name, f.Offset)
		}
		doc := f.Tag.Get("wire")
		if !f.IsExported() {
			doc = "must be 0"
		}
		if doc == "" {
			return nil, fmt.Errorf("%s.%s has no wire tag", t.Name(), f.Name)
		}
		fields = append(fields, field{snake(f.Name), f.Type.Kind().String(), f.Offset, doc})
		end = f.Offset + f.Type.Size()
	}
	if end != t.Size() || end%8 != 0 {
		return nil, fmt.Errorf("%s: %d bytes of fields in %d", t.Name(), end, t.Size())
	}
	return fields, nil
}

// structFields yields the fields of a struct that take up room.
func structFields(t reflect.Type) iter.Seq[reflect.StructField] {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Type.Size() > 0 && !yield(f) {
				return
			}
		}
	}
}

// snake turns a Go name into a wire name: FirstGroup, ABI and KindWAL become
// first_group, abi and kind_wal.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			afterLower := unicode.IsLower(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// phaseNames lists the names of a set of phases, in the order of a run.
func phaseNames(set abi.Phase) string {
	if set == abi.PhaseAny {
		return "any"
	}
	var names []string
	for p := abi.PhaseInit; p <= abi.PhaseRestore; p <<= 1 {
		if set&p != 0 {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}
