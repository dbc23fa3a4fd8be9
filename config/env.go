package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

const envPrefix = "ROCKSNAP_"

// notKeys are the variables that other parts of rocksnap read.
var notKeys = []string{"ROCKSNAP_CACHE_DIR", "ROCKSNAP_CONFIG", "ROCKSNAP_PLUGIN_PATH", "ROCKSNAP_STATE_DIR"}

// override stores what the environment says. A variable that is no key's is an
// error: a misspelled override must not be ignored.
func (l *loader) override(env []string) {
	fields := make(map[string]field)
	for _, f := range l.schema {
		if canOverride(f) {
			fields[variable(f)] = f
		}
	}
	for _, f := range l.short {
		fields[variable(field{key: f.key[:len(f.key)-1]})] = f
	}
	l.variables = make(map[string]string)
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, text, _ := strings.Cut(entry, "=")
		f, ok := fields[name]
		switch {
		case !strings.HasPrefix(name, envPrefix) || text == "":
		case ok:
			l.variables[f.key.String()] = name
			l.store(f, fromText(f.target, text), "environment "+name)
		case !slices.Contains(notKeys, name) && !strings.HasPrefix(name, "ROCKSNAP_TEST_"):
			l.problems = append(l.problems, &Error{
				File: "environment", Key: name, Message: "unknown variable",
				Hint: cmp.Or(secretHint(strings.TrimPrefix(name, envPrefix)), didYouMean(nearest(name, sortedKeys(fields)))),
			})
		}
	}
}

// canOverride leaves out the version, which has no section, and tables.
func canOverride(f field) bool {
	_, isTable := f.target.(*json.RawMessage)
	return len(f.key) > 1 && !isTable
}

// variable returns the name of the variable that overrides a field.
func variable(f field) string {
	return envPrefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.Join(f.key, "_"))
}

// fromText gives the text of a variable the type that the file would have
// given the value. What does not fit stays text, for set to refuse.
func fromText(target any, text string) any {
	switch target.(type) {
	case *int, *uint32:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case *float64:
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	case *bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case *[]string:
		var list []any
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list
	}
	return text
}
