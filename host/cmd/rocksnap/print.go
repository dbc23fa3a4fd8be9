package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// print writes a document as one line of JSON.
func (c *cli) print(doc any) error {
	return c.printIndented(doc, "")
}

// printIndented writes a document for people, too.
func (c *cli) printIndented(doc any, indent string) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(doc); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// table writes rows in aligned columns; the cells of a row are its arguments. A row
// without any separates two tables.
type table struct {
	w *tabwriter.Writer
}

func (c *cli) table() table { return table{tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		text[i] = plain(fmt.Sprint(cell))
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(text, "\t"), "\t"))
}

// lines writes text below a table.
func (t table) lines(text ...string) {
	if len(text) > 0 {
		t.row()
	}
	for _, line := range text {
		t.row(line)
	}
}

func (t table) flush() error {
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// count is a number of things for people.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size is a number of bytes for people.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.95 { // would be printed as 1024.0
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// rate is a speed for people, to follow other text; "" below a second, which tells
// about the start and not about the speed.
func rate(n int64, d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return fmt.Sprintf(", %.1f MB/s", float64(n)/1e6/d.Seconds())
}

// plain is a text that others wrote, quoted as in Go where it could move the
// cursor or break the table.
func plain(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, hidden) {
		return strconv.Quote(text)
	}
	return text
}

// milliseconds is a duration as the JSON documents and the tables show it.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
