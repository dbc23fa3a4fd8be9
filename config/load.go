package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFile is far beyond any real configuration, and keeps a device or a wrong
// file from filling the memory.
const maxFile = 1 << 20 // bytes

// Load reads a file and applies the environment of the process. Its errors are
// [Errors]; errors.Is tells fs.ErrNotExist.
func Load(path string) (*Config, error) {
	text, file, err := read(path)
	if err != nil {
		return nil, Errors{unreadable(path, err)}
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, Errors{unreadable(path, err)}
	}
	c, err := parse(absolute, path, text, os.Environ())
	if err != nil {
		return nil, err
	}
	c.file = file
	return c, nil
}

func read(path string) (text []byte, info fs.FileInfo, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("larger than %s", Size(maxFile))
	}
	return text, info, err
}

func unreadable(path string, err error) *Error {
	problem := &Error{File: path, Message: err.Error(), Err: err}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		problem.Message = pathErr.Err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		problem.Hint = "name the file with --config; README.md shows the smallest one"
	case errors.Is(err, syscall.EISDIR):
		problem.Hint = didYouMean(filepath.Join(path, "rocksnap.toml"))
	}
	return problem
}

// Parse reads a configuration from memory. The name stands for the file in
// errors, and relative paths are resolved against its folder. The environment
// has the form of os.Environ; with nil, nothing is overridden. Errors are
// [Errors].
func Parse(name string, text []byte, env []string) (*Config, error) {
	return parse(name, name, text, env)
}

func parse(path, name string, text []byte, env []string) (*Config, error) {
	l := &loader{
		config: defaults(path),
		file:   name,
		text:   strings.TrimPrefix(string(text), byteOrderMark),
		bad:    make(map[string]bool),
	}
	tree, err := decode(l.text)
	if err != nil {
		return nil, Errors{l.syntax(err)}
	}
	l.places = locate(l.text)
	if newer := l.newer(tree); newer != nil {
		return nil, Errors{newer}
	}
	l.prepare(tree)
	l.walk(nil, tree)
	l.override(env)
	l.complete()
	l.check()
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, inOrder)
		return nil, l.problems
	}
	return l.config, nil
}

// byteOrderMark is what some editors start a file with.
const byteOrderMark = "\ufeff"

// decode refuses what is not UTF-8 by itself: the library would drop a mark
// that claims another encoding, and every place after it would be wrong.
func decode(text string) (map[string]any, error) {
	if !utf8.ValidString(text) || strings.HasPrefix(text, byteOrderMark) {
		return nil, errors.New("invalid TOML: the file is not UTF-8")
	}
	tree := make(map[string]any)
	_, err := toml.Decode(text, &tree)
	return tree, err
}

// inOrder sorts problems by place; those of the environment have none and come
// last.
func inOrder(a, b *Error) int {
	if (a.Line == 0) != (b.Line == 0) {
		return cmp.Compare(b.Line, a.Line)
	}
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
}

// loader fills a configuration from the decoded file and the environment.
type loader struct {
	config     *Config
	file, text string
	places     map[string]int // offset of each key in the text
	strategies map[string]*Strategy
	schema     []field
	index      map[string]field // the schema by key
	short      map[string]field // by the key of a table, the field in it for which a plain string may stand
	tables     map[string]bool  // every table that the schema knows
	problems   Errors
	bad        map[string]bool   // keys of which a problem has been reported
	variables  map[string]string // the variable that set a key
}

func (l *loader) syntax(err error) *Error {
	problem := &Error{File: l.file, Line: 1, Column: 1, Message: err.Error(), Err: err}
	var parseErr toml.ParseError
	if errors.As(err, &parseErr) {
		at := placeAt(l.text, parseErr.Position.Start)
		problem.Line, problem.Column = at.line, at.column
		problem.Message = "invalid TOML: " + parseErr.Message
		if mayHoldSecret(strings.Split(l.text, "\n")[at.line-1]) {
			problem.Message, problem.Err = "invalid TOML, not shown because the line may hold a secret", nil
		}
	}
	return problem
}

// newer reports a file of a later format, of which nothing else can be judged.
func (l *loader) newer(tree map[string]any) *Error {
	version, ok := tree["version"].(int64)
	if !ok || version <= Version {
		return nil
	}
	at := l.placeOf(dotted("version"))
	return &Error{
		File: l.file, Line: at.line, Column: at.column, Key: "version",
		Message: fmt.Sprintf("the file was written for a newer rocksnap (version %d; this one reads version %d)", version, Version),
		Hint:    "update rocksnap",
	}
}

// prepare makes the schema of this file: its strategies have fields too.
func (l *loader) prepare(tree map[string]any) {
	l.strategies = make(map[string]*Strategy)
	for name := range builtin {
		l.strategies[name] = defaultStrategy(name)
	}
	named, _ := tree["strategies"].(map[string]any)
	for name := range named {
		l.strategies[name] = defaultStrategy(name)
	}
	l.prepareFamilies(tree)
	l.schema = l.config.fields()
	for _, name := range sortedKeys(l.strategies) {
		l.schema = append(l.schema, l.strategies[name].fields(name)...)
	}
	l.index = make(map[string]field)
	l.tables = map[string]bool{familyTables: true} // without any it has no field
	for _, f := range l.schema {
		l.index[f.key.String()] = f
		for n := 1; n < len(f.key); n++ {
			l.tables[f.key[:n].String()] = true
		}
	}
	l.short = make(map[string]field)
	for name := range l.strategies {
		l.short[strategyKey(name, onError).String()] = l.index[strategyKey(name, onError, "mode").String()]
	}
}

// walk stores what a table holds.
func (l *loader) walk(table toml.Key, tree map[string]any) {
	for _, name := range sortedKeys(tree) {
		key := append(table[:len(table):len(table)], name)
		value := tree[name]
		origin := fmt.Sprintf("%s:%d", l.file, l.placeOf(key).line)
		if f, ok := l.index[key.String()]; ok {
			l.store(f, value, origin)
		} else if l.tables[key.String()] {
			l.config.setOrigin(key.String(), origin)
			l.enter(key, value, origin)
		} else {
			l.unknown(key, value)
		}
	}
}

// enter stores what a table holds, or the string that stands for one.
func (l *loader) enter(key toml.Key, value any, origin string) {
	f, short := l.short[key.String()]
	inner, isTable := value.(map[string]any)
	_, isText := value.(string)
	switch {
	case isTable:
		l.walk(key, inner)
	case short && isText:
		l.config.setOrigin(f.key.String(), origin)
		if err := set(f.target, value); err != nil {
			l.refused(key, err)
		}
	case short:
		l.refused(key, refuse("must be a string or a table, not %s", kindOf(value)))
	default:
		l.refused(key, refuse("must be a table, not %s", kindOf(value)))
	}
}

func (l *loader) store(f field, value any, origin string) {
	l.config.setOrigin(f.key.String(), origin)
	if err := set(f.target, value); err != nil {
		l.refused(f.key, err)
	}
}

// given reports whether the file or the environment sets a key.
func (l *loader) given(key toml.Key) bool {
	_, ok := l.config.origins[key.String()]
	return ok
}

// unknown reports a key that the schema lacks. What it probably stands for is
// not reported as missing on top of that.
func (l *loader) unknown(key toml.Key, value any) {
	_, isTable := value.(map[string]any)
	if hint := secretHint(strings.Join(key, "_")); hint != "" {
		l.report(key, isTable, hint, "secrets do not belong in this file")
		return
	}
	meant, hint := l.meant(key)
	l.report(key, isTable, hint, "unknown key")
	if meant != nil {
		l.bad[meant.String()] = true
	}
}

// meant finds the key that an unknown one stands for: one that is spelled
// nearly the same in the same table, or else the same in another.
func (l *loader) meant(key toml.Key) (toml.Key, string) {
	table, name := key[:len(key)-1], key[len(key)-1]
	siblings, elsewhere := l.names(table, name)
	if len(table) == 0 && !slices.Contains(siblings, familyTables) {
		siblings = append(siblings, familyTables)
	}
	if best := nearest(name, siblings); best != "" {
		return append(table[:len(table):len(table)], best), didYouMean(best)
	}
	if elsewhere != nil {
		return elsewhere, didYouMean(title(elsewhere, false))
	}
	if len(table) == 0 {
		return nil, "the file may have " + strings.Join(siblings, ", ")
	}
	return nil, title(table, true) + " may have " + strings.Join(siblings, ", ")
}

// names lists what a table may hold, and finds a field of another table with a
// given name.
func (l *loader) names(table toml.Key, name string) (siblings []string, elsewhere toml.Key) {
	for _, f := range l.schema {
		if len(f.key) > len(table) && slices.Equal(f.key[:len(table)], table) {
			if sibling := f.key[len(table)]; !slices.Contains(siblings, sibling) {
				siblings = append(siblings, sibling)
			}
		} else if elsewhere == nil && section(f.key) == 1 && f.key[len(f.key)-1] == name {
			elsewhere = f.key
		}
	}
	return siblings, elsewhere
}

// refused reports that a value cannot be stored under its key.
func (l *loader) refused(key toml.Key, err error) {
	hint := ""
	var value *valueError
	if errors.As(err, &value) {
		hint = value.hint
	}
	l.report(key, l.tables[key.String()], hint, "%v", err)
}

// wrong reports a value that makes no sense.
func (l *loader) wrong(key toml.Key, hint, format string, args ...any) {
	l.report(key, l.tables[key.String()], hint, format, args...)
}

// report adds a problem, unless one of the key or of a table around it has been
// reported: the second is usually a consequence of the first.
func (l *loader) report(key toml.Key, isTable bool, hint, format string, args ...any) {
	for n := 1; n <= len(key); n++ {
		if l.bad[key[:n].String()] {
			return
		}
	}
	l.bad[key.String()] = true
	problem := &Error{File: l.file, Key: title(key, isTable), Message: fmt.Sprintf(format, args...), Hint: hint}
	if variable, ok := l.variables[key.String()]; ok {
		problem.File, problem.Key = "environment", variable
	} else {
		at := l.placeOf(key)
		problem.Line, problem.Column = at.line, at.column
	}
	l.problems = append(l.problems, problem)
}

// placeOf finds a key in the text, or else the table that it belongs in, or
// else the start.
func (l *loader) placeOf(key toml.Key) place {
	for n := len(key); n > 0; n-- {
		if offset, ok := l.places[key[:n].String()]; ok {
			return placeAt(l.text, offset)
		}
	}
	return place{1, 1}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
