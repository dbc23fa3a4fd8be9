package surgery

import (
	"strconv"
	"strings"
)

// settings are those of a column family that a merge depends on, by the text of
// an OPTIONS file.
type settings struct {
	style         string // of compaction
	mergeOperator string // with its own options; "" none
	table         string // format of tables
	levels        int
	text          string // sections of the column family
}

const (
	styleUniversal = "kCompactionStyleUniversal"
	styleFIFO      = "kCompactionStyleFIFO"
	blockBased     = "BlockBasedTable"
	noObject       = "nullptr"
)

// section is one of an OPTIONS file, with its title.
type section struct {
	kind   string // CFOptions or TableOptions/…; others are of no interest
	family string
	text   string
}

// sections cuts an OPTIONS file (options/options_parser.cc) up.
func sections(text string) (list []section) {
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimSpace(line), "[")
		if ok {
			kind, family, _ := strings.Cut(strings.TrimSuffix(title, "]"), " ")
			list = append(list, section{kind: kind, family: unescape(strings.Trim(family, `"`))})
		}
		if len(list) > 0 {
			list[len(list)-1].text += line
		}
	}
	return list
}

// unescape undoes what RocksDB does to the name of a column family.
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' || i+1 == len(name) {
			b.WriteByte(name[i])
			continue
		}
		i++
		switch name[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			b.WriteByte(name[i])
		}
	}
	return b.String()
}

// parseOptions returns the settings of each column family.
func parseOptions(text string) map[string]*settings {
	all := make(map[string]*settings)
	for _, s := range sections(text) {
		if s.kind == "CFOptions" {
			all[s.family] = newSettings(s.text)
		} else if f := all[s.family]; f != nil && strings.HasPrefix(s.kind, "TableOptions/") {
			f.text += s.text
		}
	}
	return all
}

// newSettings reads a section. What it does not say has RocksDB's default.
func newSettings(text string) *settings {
	s := &settings{levels: 7, table: blockBased, text: text}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "compaction_style":
			s.style = value
		case "num_levels":
			s.levels, _ = strconv.Atoi(value)
		case "table_factory":
			s.table = value
		case "merge_operator":
			if value != noObject {
				s.mergeOperator = value
			}
		}
	}
	return s
}
