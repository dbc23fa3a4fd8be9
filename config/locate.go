package config

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// place is a position in the text; both numbers start at 1, and columns are
// counted in bytes, as Go's own tools count them.
type place struct{ line, column int }

func placeAt(text string, offset int) place {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	return place{
		line:   1 + strings.Count(before, "\n"),
		column: offset - strings.LastIndexByte(before, '\n'),
	}
}

// locate returns the byte offset at which each key and table of a document is
// first named. The TOML library checks the syntax but does not tell where a key
// stands, so locate walks over text that is known to be valid; in anything else
// it stops at the first surprise.
func locate(text string) map[string]int {
	s := &scanner{text: text, found: make(map[string]int)}
	for s.skip(" \t\r\n"); s.at < len(s.text); s.skip(" \t\r\n") {
		if s.peek() == '[' {
			s.header()
		} else {
			s.pair(s.table)
		}
	}
	return s.found
}

type scanner struct {
	text  string
	at    int
	table toml.Key // of the latest header
	found map[string]int
}

// peek returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip passes over the given characters and comments.
func (s *scanner) skip(chars string) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case strings.IndexByte(chars, c) >= 0:
			s.at++
		case c == '#':
			s.until("\n")
		default:
			return
		}
	}
}

// until moves on to the next of the given characters.
func (s *scanner) until(chars string) {
	if n := strings.IndexAny(s.text[s.at:], chars); n >= 0 {
		s.at += n
	} else {
		s.at = len(s.text)
	}
}

func (s *scanner) stop() { s.at = len(s.text) }

// header reads "[a.b]" or "[[a.b]]".
func (s *scanner) header() {
	s.skip("[ \t")
	start := s.at
	s.table = s.key()
	s.mark(nil, s.table, start)
	s.skip("] \t")
}

// pair reads "key = value" in a table.
func (s *scanner) pair(table toml.Key) {
	start := s.at
	key := s.key()
	s.skip(" \t")
	if s.peek() != '=' {
		s.stop()
		return
	}
	s.at++
	s.value(s.mark(table, key, start))
}

// mark records a key, and the tables that a dotted one names on the way, unless
// they were named before. It returns the full key.
func (s *scanner) mark(table, key toml.Key, offset int) toml.Key {
	full := append(table[:len(table):len(table)], key...)
	for n := len(table) + 1; n <= len(full); n++ {
		name := full[:n].String()
		if _, ok := s.found[name]; !ok {
			s.found[name] = offset
		}
	}
	return full
}

// key reads a bare, quoted or dotted key.
func (s *scanner) key() toml.Key {
	var key toml.Key
	for {
		s.skip(" \t")
		start := s.at
		if c := s.peek(); c == '"' || c == '\'' {
			s.quoted()
			key = append(key, unquote(s.text[start:s.at]))
		} else {
			s.until(" \t\r\n.=]#\"'")
			key = append(key, s.text[start:s.at])
		}
		s.skip(" \t")
		if s.peek() != '.' {
			return key
		}
		s.at++
	}
}

// unquote leaves the escapes of a quoted key to the library.
func unquote(text string) string {
	var plain struct{ Key string }
	if _, err := toml.Decode("Key = "+text, &plain); err != nil {
		return text
	}
	return plain.Key
}

// value passes over a value, recording the keys within inline tables.
func (s *scanner) value(key toml.Key) {
	s.skip(" \t")
	switch s.peek() {
	case '{':
		s.list('}', func() { s.pair(key) })
	case '[':
		s.list(']', func() { s.value(key) })
	case '"', '\'':
		s.quoted()
	default:
		s.until(",]}\n#")
	}
}

// list passes over the items between two brackets.
func (s *scanner) list(end byte, item func()) {
	s.at++
	for s.skip(", \t\r\n"); s.peek() != end; s.skip(", \t\r\n") {
		before := s.at
		item()
		if s.at == before {
			s.stop()
			return
		}
	}
	s.at++
}

// quoted passes over a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.at : s.at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], long) {
		s.closing(long)
		// Up to two more quotes in front of the closing ones belong to the string.
		for strings.HasPrefix(s.text[s.at:], quote) {
			s.at++
		}
		return
	}
	s.closing(quote)
}

// closing passes over an opening delimiter and everything up to the closing
// one.
func (s *scanner) closing(delimiter string) {
	for s.at += len(delimiter); s.at < len(s.text); s.at++ {
		if strings.HasPrefix(s.text[s.at:], delimiter) {
			s.at += len(delimiter)
			return
		}
		if delimiter[0] == '"' && s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.stop()
}
