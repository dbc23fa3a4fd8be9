package abi_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("ABI.md")
	require.NoError(t, err)
	return string(text)
}

// TestNoFunctionTakesAName is the lint of the boundary: no function takes a path
// or the name of a stored object, and every parameter is of a kind that is known.
func TestNoFunctionTakesAName(t *testing.T) {
	kinds := map[string]string{
		"buf": "written by the host", "ptr": "records, text or bytes", "key": "of state or metadata",
		"limit": "length", "len": "length", "key_len": "length", "rec_size": "length", "count": "number",
		"start": "index", "level": "number", "done": "number", "total": "number", "slot": "number", "event": "number",
		"file": "id", "family": "id", "first_group": "id", "last_group": "id", "scan": "handle", "stream": "handle",
	}
	forbidden := regexp.MustCompile(`(?i)path|folder|director|url|bucket|object name|name of an object`)
	bytes := map[string]string{ // what a guest hands over as bytes, by function
		"error_set": "text", "log": "a log line", "state_put": "value", "meta_put": "metadata", "upload": "Upload",
		"reuse": "Reuse", "fetch": "Fetch", "export": "Export", "stream_open": "StreamSpec", "stream_write": "bytes",
	}
	for _, f := range abi.Imports {
		assert.NotRegexp(t, forbidden, f.Name+" "+f.Doc)
		for _, p := range f.Params {
			assert.Contains(t, kinds, p.Name, "%s has a parameter of a new kind: is it a name?", f.Name)
			if p.Name == "ptr" {
				require.Contains(t, bytes, f.Name)
				assert.Contains(t, f.Doc, bytes[f.Name], "the table says what %s is given", f.Name)
			}
			if p.Name == "key" {
				assert.Regexp(t, "^(state|meta)_", f.Name)
			}
		}
	}
}

// TestNoRecordHoldsAName demands that records are numbers throughout.
func TestNoRecordHoldsAName(t *testing.T) {
	for _, r := range []any{abi.Info{}, abi.File{}, abi.Upload{}, abi.Reuse{}, abi.Fetch{}, abi.Completion{}, abi.Base{}, abi.Family{}, abi.Export{}, abi.StreamSpec{}} {
		for i := range reflect.TypeOf(r).NumField() {
			f := reflect.TypeOf(r).Field(i)
			if f.Name == "_" {
				continue
			}
			assert.Contains(t, []reflect.Kind{reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int32, reflect.Int64}, f.Type.Kind(), f.Name)
		}
	}
}

// TestEveryFunctionHasItsErrors looks for each function in the table of errors.
func TestEveryFunctionHasItsErrors(t *testing.T) {
	_, table, found := strings.Cut(page(t), "| function | fails with |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	for _, f := range abi.Imports {
		assert.Equal(t, 1, strings.Count(leftColumn(table), "`"+f.Name+"`"), f.Name)
	}
	names := make(map[string]bool)
	for _, e := range abi.Errnos {
		names[e.Name] = true
	}
	for _, name := range regexp.MustCompile("`(E[A-Z]+)`").FindAllStringSubmatch(table, -1) {
		assert.True(t, names[name[1]], name[1])
	}
}

func leftColumn(table string) (text string) {
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 1 {
			text += cells[1] + "\n"
		}
	}
	return text
}

// TestWorkedExamples evaluates the lines of records in the page.
func TestWorkedExamples(t *testing.T) {
	_, block, found := strings.Cut(page(t), "```wire\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	lines := strings.Split(strings.TrimSpace(block), "\n")
	require.Len(t, lines, 3)
	for _, line := range lines {
		parts := regexp.MustCompile(`^(\w+) +([0-9a-f ]+?)  +([a-z].*)$`).FindStringSubmatch(line)
		require.NotNil(t, parts, line)
		bytes, err := hex.DecodeString(strings.ReplaceAll(parts[2], " ", ""))
		require.NoError(t, err)
		var fields string
		switch parts[1] {
		case "Upload":
			fields = decoded[abi.Upload](t, bytes)
		case "Reuse":
			fields = decoded[abi.Reuse](t, bytes)
		case "Completion":
			fields = decoded[abi.Completion](t, bytes)
		}
		assert.Equal(t, parts[3], fields)
	}
}

// decoded reads a record from memory and lists its fields.
func decoded[R abi.Record](t *testing.T, bytes []byte) string {
	t.Helper()
	record := make([]R, 1)
	require.Len(t, bytes, abi.Size[R]())
	copy(abi.Bytes(record), bytes)
	var fields []string
	v := reflect.ValueOf(record[0])
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "_" {
			if v.Field(i).CanInt() {
				fields = append(fields, fmt.Sprintf("%s %d", snake(name), v.Field(i).Int()))
				continue
			}
			fields = append(fields, fmt.Sprintf("%s %d", snake(name), v.Field(i).Uint()))
		}
	}
	return strings.Join(fields, " ")
}
