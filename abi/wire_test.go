package abi_test

import (
	"math/bits"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/rocksnap/rocksnap/abi"
)

var camel = regexp.MustCompile(`([a-z])([A-Z])`)

// snake returns the wire name for a Go name.
func snake(name string) string {
	return strings.ToLower(camel.ReplaceAllString(name, "${1}_${2}"))
}

var wireName = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

func TestImportsAreWellFormed(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range abi.Imports {
		assert.Regexp(t, wireName, f.Name)
		assert.False(t, seen[f.Name], "%s stands twice", f.Name)
		seen[f.Name] = true

		assert.NotZero(t, f.Phases, "%s can be called somewhere", f.Name)
		assert.Zero(t, f.Phases&^abi.PhaseAny, "%s: known phases", f.Name)
		assert.Contains(t, []abi.Type{abi.None, abi.I32}, f.Result, "%s: a result holds a negated errno", f.Name)
		if f.Grant != "" {
			assert.Contains(t, abi.Grants, f.Grant, f.Name)
		}
		assert.NotEmpty(t, f.Doc, f.Name)
		assert.NotContains(t, f.Doc, "\n", f.Name)
		assert.False(t, strings.HasSuffix(f.Doc, "."), f.Name)
	}
}

func TestEveryGrantOpensSomething(t *testing.T) {
	for i, g := range abi.Grants {
		assert.NotContains(t, abi.Grants[:i], g)
		assert.True(t, slices.ContainsFunc(abi.Imports, func(f abi.Func) bool { return f.Grant == g }), "%s is used", g)
	}
}

func TestPhases(t *testing.T) {
	assert.Equal(t, 5, bits.OnesCount32(uint32(abi.PhaseAny)))
	for _, h := range abi.Exports[1:] {
		assert.Equal(t, 1, bits.OnesCount32(uint32(h.Phases)), h.Name)
		assert.Equal(t, "rocksnap_"+h.Phases.String(), h.Name, "the phase is named after its export")
	}
	assert.Equal(t, "several phases", abi.PhaseAny.String())
}

// methods lists the wire names of an interface's methods.
func methods[T any](prefix string) []string {
	var names []string
	t := reflect.TypeFor[T]()
	for i := range t.NumMethod() {
		names = append(names, prefix+snake(t.Method(i).Name))
	}
	return names
}

// A search for a name crosses the boundary: the functions of the host are the
// methods of Session, Scan and Stream under the same names. What has another
// form in Go is listed here.
func TestImportsAreTheMethodsOfASession(t *testing.T) {
	want := slices.Concat(methods[abi.Session](""), methods[abi.Scan]("scan_"), methods[abi.Stream]("stream_"))
	want[slices.Index(want, "config")] = "config_get" // the text, as with error_get
	want = append(want,
		"error_get", "error_set", // the text of a Go error
		"cancelled", // the Err of a context
	)
	var have []string
	for _, f := range abi.Imports {
		have = append(have, f.Name)
	}
	assert.ElementsMatch(t, want, have)
}

func TestExportsAreTheMethodsOfAStrategy(t *testing.T) {
	required := methods[abi.Strategy]("rocksnap_")
	optional := slices.Concat(methods[abi.Notifier]("rocksnap_"), methods[abi.Restorer]("rocksnap_"))
	for _, h := range abi.Exports[1:] {
		if h.Required {
			assert.Contains(t, required, h.Name)
		} else {
			assert.Contains(t, optional, h.Name)
		}
		assert.Equal(t, abi.I32, h.Result, h.Name)
	}
	assert.Len(t, abi.Exports[1:], len(required)+len(optional))
	assert.Equal(t, "rocksnap_abi", abi.Exports[0].Name)
	assert.True(t, abi.Exports[0].Required)
}

// inputs says what the bytes are that a guest hands to each function. The list
// is short on purpose: nothing in it is a path or the name of a stored object.
var inputs = map[string]string{
	"error_set":    "text",
	"log":          "text",
	"state_get":    "key of the state",
	"state_put":    "key of the state, value",
	"state_delete": "key of the state",
	"meta_put":     "key of the metadata, value",
	"upload":       "records",
	"reuse":        "records",
	"fetch":        "records",
	"export":       "records",
	"stream_open":  "record",
	"stream_write": "content of a stored object",
}

// partners says which parameter follows an address.
var partners = map[string][]string{
	"buf": {"limit"},
	"ptr": {"len", "count", "rec_size"},
	"key": {"key_len"},
}

// numbers are the parameters that are neither an address nor part of one.
var numbers = []string{
	"level", "done", "total", "start", "rec_size", "file", "slot",
	"family", "first_group", "last_group", "scan", "stream",
}

func TestNoPathCrossesTheBoundary(t *testing.T) {
	named := regexp.MustCompile(`(?i)\b(paths?|director(y|ies)|folders?|urls?|buckets?|(object|stored|file) names?)\b`)
	for _, f := range abi.Imports {
		assert.NotRegexp(t, named, f.Doc, f.Name)
		in := false
		for i := 0; i < len(f.Params); i++ {
			p := f.Params[i].Name
			in = in || p == "ptr" || p == "key"
			if follows, ok := partners[p]; ok {
				i++
				assert.Contains(t, follows, f.Params[i].Name, "%s: what follows %s", f.Name, p)
				continue
			}
			assert.Contains(t, numbers, p, f.Name)
		}
		_, listed := inputs[f.Name]
		assert.Equal(t, listed, in, "%s: the bytes that it takes are explained", f.Name)
	}
}
