// Package schema checks a strategy's configuration against the JSON schema that
// its module carries, before any of the module's code runs.
//
// It knows the keywords that a table of options needs: type, properties,
// required, additionalProperties, enum, minimum, maximum, minLength, pattern and
// items. Other keywords are ignored, as the standard asks: a strategy checks in
// its init what a schema cannot say.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Validate returns nil when a configuration is what a schema describes. An error
// names the key at fault, as in "limits.depth"; or it says what is wrong with the
// schema itself. No schema, or null, accepts everything.
func Validate(schema, config json.RawMessage) error {
	if len(bytes.TrimSpace(schema)) == 0 {
		return nil
	}
	n, err := parse(schema)
	if err != nil {
		return err
	}
	var value any
	if err := json.Unmarshal(config, &value); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return n.check("", value)
}

// Check returns nil when a schema is one that [Validate] can use. An error names the
// place in the schema, as in "properties.depth.type".
func Check(schema json.RawMessage) error {
	if len(bytes.TrimSpace(schema)) == 0 {
		return nil
	}
	n, err := parse(schema)
	if err != nil {
		return err
	}
	return n.sound("")
}

func parse(schema json.RawMessage) (*node, error) {
	n := new(node)
	if err := json.Unmarshal(schema, n); err != nil {
		return nil, fmt.Errorf("the module's schema: %w", err)
	}
	return n, nil
}

// types are the names that JSON schema has for kinds of values.
var types = []string{"array", "boolean", "integer", "null", "number", "object", "string"}

// sound checks the schema itself; at is its place.
func (n *node) sound(at string) error {
	if n == nil {
		return nil
	}
	for _, name := range n.Type {
		if !slices.Contains(types, name) {
			return fault(under(at, "type"), "is %q, want one of %s", name, strings.Join(types, ", "))
		}
	}
	if _, err := regexp.Compile(n.Pattern); err != nil {
		return fault(under(at, "pattern"), "is wrong: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		if err := n.Properties[name].sound(under(at, "properties."+name)); err != nil {
			return err
		}
	}
	if err := n.Additional.sound(under(at, "additionalProperties")); err != nil {
		return err
	}
	return n.Items.sound(under(at, "items"))
}

// node is a schema, or a part of one.
type node struct {
	Type       names            `json:"type"`
	Properties map[string]*node `json:"properties"`
	Required   []string         `json:"required"`
	Additional *node            `json:"additionalProperties"`
	Enum       []any            `json:"enum"`
	Minimum    *float64         `json:"minimum"`
	Maximum    *float64         `json:"maximum"`
	MinLength  int              `json:"minLength"` // characters
	Pattern    string           `json:"pattern"`
	Items      *node            `json:"items"`
	never      bool             // the schema false, which accepts nothing
}

// UnmarshalJSON reads an object, true or false.
func (n *node) UnmarshalJSON(text []byte) error {
	var always bool
	if json.Unmarshal(text, &always) == nil {
		n.never = !always && !bytes.Equal(text, []byte("null"))
		return nil
	}
	type plain node // without this method
	return json.Unmarshal(text, (*plain)(n))
}

// names is one name or a list of them.
type names []string

// UnmarshalJSON reads either form.
func (n *names) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(n))
}

// check compares a value with its schema; key is where the value stands.
func (n *node) check(key string, value any) error {
	if n.never {
		return fault(key, "is not allowed")
	}
	if len(n.Type) > 0 && !slices.ContainsFunc(n.Type, func(t string) bool { return is(t, value) }) {
		return fault(key, "is %s, want %s", nameOf(value), strings.Join(n.Type, " or "))
	}
	if n.Enum != nil && !slices.ContainsFunc(n.Enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		return fault(key, "is %s, want one of %s", text(value), text(n.Enum))
	}
	switch value := value.(type) {
	case float64:
		return n.checkNumber(key, value)
	case string:
		return n.checkString(key, value)
	case []any:
		return n.checkItems(key, value)
	case map[string]any:
		return n.checkObject(key, value)
	}
	return nil
}

func (n *node) checkNumber(key string, value float64) error {
	switch {
	case n.Minimum != nil && value < *n.Minimum:
		return fault(key, "is %s, at least %s is wanted", text(value), text(*n.Minimum))
	case n.Maximum != nil && value > *n.Maximum:
		return fault(key, "is %s, at most %s is allowed", text(value), text(*n.Maximum))
	}
	return nil
}

func (n *node) checkString(key, value string) error {
	if utf8.RuneCountInString(value) < n.MinLength {
		return fault(key, "is %q, at least %d characters are wanted", value, n.MinLength)
	}
	if n.Pattern == "" {
		return nil
	}
	pattern, err := regexp.Compile(n.Pattern)
	if err != nil {
		return fmt.Errorf("the module's schema: pattern of %s: %w", keyName(key), err)
	}
	if !pattern.MatchString(value) {
		return fault(key, "is %q, which does not match %s", value, n.Pattern)
	}
	return nil
}

func (n *node) checkItems(key string, items []any) error {
	if n.Items == nil {
		return nil
	}
	for i, item := range items {
		if err := n.Items.check(key+"["+strconv.Itoa(i)+"]", item); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) checkObject(key string, object map[string]any) error {
	for _, name := range n.Required {
		if _, ok := object[name]; !ok {
			return fault(under(key, name), "is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		part, known := n.Properties[name]
		if !known && n.Additional != nil && n.Additional.never {
			return fault(under(key, name), "is not a key of this strategy; it knows %s", strings.Join(slices.Sorted(maps.Keys(n.Properties)), ", "))
		}
		if !known {
			part = n.Additional
		}
		if part == nil {
			continue
		}
		if err := part.check(under(key, name), object[name]); err != nil {
			return err
		}
	}
	return nil
}

// is tells whether a value has a type of JSON schema.
func is(name string, value any) bool {
	if number, ok := value.(float64); ok && name == "integer" {
		return number == math.Trunc(number)
	}
	return name == nameOf(value)
}

func nameOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func under(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func keyName(key string) string {
	if key == "" {
		return "the configuration"
	}
	return key
}

func fault(key, format string, args ...any) error {
	return errors.New(strings.Map(printable, keyName(key)+" "+fmt.Sprintf(format, args...)))
}

// printable keeps what a stranger's schema says from steering a terminal.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// text writes a value as JSON.
func text(value any) string {
	out, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(out)
}
