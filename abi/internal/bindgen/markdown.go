package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// specification is the page whose tables are generated.
const specification = "ABI.md"

// fill replaces what stands between the markers of a page. Every table has
// exactly one place there.
func (m *model) fill(page []byte) ([]byte, error) {
	tables := []struct {
		name string
		text string
	}{
		{"exports", m.exportTable()},
		{"functions", m.functionTable()},
		{"records", m.recordTables()},
		{"constants", m.constantTable()},
		{"errors", errorTable()},
	}
	for _, t := range tables {
		before, rest, ok := bytes.Cut(page, fmt.Appendf(nil, "<!-- generated: %s -->\n", t.name))
		_, after, ended := bytes.Cut(rest, []byte("<!-- end -->\n"))
		if !ok || !ended {
			return nil, fmt.Errorf("%s has no place for the table of %s", specification, t.name)
		}
		page = fmt.Appendf(nil, "%s<!-- generated: %s -->\n%s<!-- end -->\n%s", before, t.name, t.text, after)
	}
	return page, nil
}

func (m *model) exportTable() string {
	var b strings.Builder
	b.WriteString("| export | result | required | what |\n|---|---|---|---|\n")
	for _, h := range m.Exports {
		required := "no"
		if h.Required {
			required = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", signature(h.Func), wasm(h.Result), required, cell(h.Doc))
	}
	return b.String()
}

func (m *model) functionTable() string {
	var b strings.Builder
	b.WriteString("| function | result | phases | capability | what |\n|---|---|---|---|---|\n")
	for _, f := range m.Imports {
		result := "none"
		if f.Result != abi.None {
			result = wasm(f.Result)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", signature(f), result, phaseNames(f.Phases), f.Grant, cell(f.Doc))
	}
	return b.String()
}

// signature writes a function with its parameters; those of type i32, which are
// nearly all, go without it.
func signature(f abi.Func) string {
	params := make([]string, len(f.Params))
	for i, p := range f.Params {
		params[i] = p.Name
		if p.Type != abi.I32 {
			params[i] += ": " + wasm(p.Type)
		}
	}
	return f.Name + "(" + strings.Join(params, ", ") + ")"
}

func (m *model) recordTables() string {
	var b strings.Builder
	for _, r := range m.Records {
		fmt.Fprintf(&b, "\n### %s, %d bytes\n\n%s\n\n", r.Name, r.Size, r.Doc)
		b.WriteString("| offset | type | field | what |\n|---:|---|---|---|\n")
		for _, f := range r.Fields {
			fmt.Fprintf(&b, "| %d | %s | `%s` | %s |\n", f.Offset, short(f.Type), f.Name, cell(f.Doc))
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func (m *model) constantTable() string {
	var b strings.Builder
	b.WriteString("| constant | value | what |\n|---|---:|---|\n")
	for _, g := range m.Groups {
		if g.Type == "Errno" {
			continue
		}
		for _, c := range g.Consts {
			doc := c.Doc
			if len(g.Consts) == 1 && doc == "" {
				doc = g.Doc
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ToUpper(snake(c.Name)), literal(c.Value), cell(doc))
		}
	}
	return b.String()
}

func errorTable() string {
	var b strings.Builder
	b.WriteString("| errno | name | text |\n|---:|---|---|\n")
	for _, e := range abi.Errnos {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", e.Errno, e.Name, e.Text)
	}
	return b.String()
}

// cell escapes text for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
