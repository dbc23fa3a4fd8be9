package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Setting is a value that is in effect, and where it comes from.
type Setting struct {
	Key    string `json:"key"`    // dotted, as TOML writes it
	Value  string `json:"value"`  // as TOML writes it
	Origin string `json:"origin"` // "default", "FILE:LINE", "environment NAME" or what Select was told
}

// Effective lists the settings in the order of the schema. Those that nobody
// set and that have no default are left out, and so are the built-in strategies
// that are neither chosen nor changed. Lines made of key, "=" and value are a
// file with the same meaning.
func (c *Config) Effective() []Setting {
	var settings []Setting
	for _, f := range c.effectiveFields() {
		key := f.key.String()
		origin, given := c.origins[key]
		value := literal(f.target)
		if !given {
			origin = "default"
		}
		if given || !slices.Contains(none, value) {
			settings = append(settings, Setting{key, value, origin})
		}
	}
	return settings
}

// none lists the values, as literals, that stand for not having one.
var none = []string{`""`, "[]", "0", `"0s"`, `"0B"`, `"0B/s"`}

// Where names a key for the errors of those who find its value wrong: in full,
// after its origin, as in "rocksnap.toml:9: [snapshot] flush". A value that is a
// default has the origin of its table, and none where the file lacks that too.
func (c *Config) Where(key ...string) string {
	name := title(key, false)
	for n := len(key); n >= section(key); n-- {
		if origin, given := c.origins[toml.Key(key[:n]).String()]; given {
			return origin + ": " + name
		}
	}
	return name
}

func (c *Config) effectiveFields() []field {
	fields := c.fields()
	for _, name := range c.Used() {
		s := c.Strategies[name]
		fields = append(fields, s.fields(name)...)
	}
	return fields
}

// Used lists the strategies that are chosen, that the file or the environment
// describes, or that another falls back to: all but the built-in ones that nobody
// asked for.
func (c *Config) Used() []string {
	wanted := []string{c.Snapshot.Strategy}
	for _, s := range c.Strategies {
		wanted = append(wanted, s.OnError.To)
	}
	return slices.DeleteFunc(sortedKeys(c.Strategies), func(name string) bool {
		s := c.Strategies[name]
		return !slices.Contains(wanted, name) && builtin[name] != nil && !slices.ContainsFunc(s.fields(name), c.isGiven)
	})
}

func (c *Config) isGiven(f field) bool {
	_, given := c.origins[f.key.String()]
	return given
}

// literal renders the value of a field as TOML.
func literal(target any) string {
	switch t := target.(type) {
	case *string:
		return quote(*t)
	case *bool:
		return strconv.FormatBool(*t)
	case *int:
		return strconv.Itoa(*t)
	case *uint32:
		return strconv.FormatUint(uint64(*t), 10)
	case *float64:
		text := strconv.FormatFloat(*t, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0" // or it were an integer
		}
		return text
	case *[]string:
		quoted := make([]string, len(*t))
		for i, item := range *t {
			quoted[i] = quote(item)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case *json.RawMessage:
		return inline(*t)
	}
	return quote(fmt.Sprint(target)) // the units and choices have a String method
}

// quote renders a basic string. JSON's form is TOML's, but for one control
// character that TOML wants escaped.
func quote(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a buffer takes every string
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// inline renders a JSON object as an inline table.
func inline(text json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var table map[string]any // stays empty for the zero Strategy, whose text is none
	_ = decoder.Decode(&table)
	return inlineValue(table)
}

func inlineValue(value any) string {
	switch v := value.(type) {
	case map[string]any:
		pairs := make([]string, 0, len(v))
		for _, key := range sortedKeys(v) {
			pairs = append(pairs, toml.Key{key}.String()+" = "+inlineValue(v[key]))
		}
		if len(pairs) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(pairs, ", ") + " }"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = inlineValue(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return quote(v)
	}
	return fmt.Sprint(value)
}
