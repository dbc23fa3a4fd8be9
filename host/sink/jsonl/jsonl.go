// Package jsonl restores records into text: a file for each column family, one
// JSON object a line, such as
//
//	{"key":"dXNlci8x","value":"QWRh"}
//
// Keys and values are any bytes, so both are in base64 (RFC 4648, with padding),
// always. Lines are in the order of keys. A file's name is [sink.FileName] of the
// column family, with .jsonl at its end; a column family without records is an
// empty file.
package jsonl

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/sink"
)

const (
	extension = ".jsonl"

	// bufferBytes is how much is written and read at once.
	bufferBytes = 256 << 10
)

// Kind is JSON lines as a kind of database.
type Kind struct{}

// Name implements sink.Kind.
func (Kind) Name() string { return "jsonl" }

// Create implements sink.Kind.
func (Kind) Create(dir string, spec sink.Spec) (sink.Sink, error) {
	if err := sink.Vacant(dir); err != nil {
		return nil, err
	}
	return &folder{dir: dir, spec: spec, loaded: make(map[string]bool)}, nil
}

// folder is where the files of all column families go.
type folder struct {
	dir    string
	spec   sink.Spec
	loaded map[string]bool // column families
}

// Load implements sink.Sink. It leaves the files.
func (s *folder) Load(family string, files []string) error {
	s.loaded[family] = true
	return durable.CreateFile(filepath.Join(s.dir, sink.FileName(family)+extension), 0o644, func(w io.Writer) error {
		for _, path := range files {
			if err := appendFile(w, path); err != nil {
				return err
			}
		}
		return nil
	})
}

func appendFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Close implements sink.Sink. Column families of which nothing was loaded get an
// empty file.
func (s *folder) Close() error {
	for _, f := range s.spec.Families {
		if s.loaded[f.Name] {
			continue
		}
		if err := s.Load(f.Name, nil); err != nil {
			return err
		}
	}
	return durable.SyncDir(s.dir)
}

// Abort implements sink.Sink.
func (s *folder) Abort() {}

// run is a file of lines.
type run struct {
	file *sink.RunFile
	out  *bufio.Writer
	line []byte
	some bool // records were written
}

// NewRun implements sink.Sink.
func (s *folder) NewRun(family, dir string) (sink.Run, error) {
	if _, ok := s.spec.Find(family); !ok {
		return nil, fmt.Errorf("column family %q: %w", family, fs.ErrNotExist)
	}
	file, err := sink.NewRunFile(dir, extension)
	if err != nil {
		return nil, err
	}
	return &run{file: file, out: bufio.NewWriterSize(file, bufferBytes)}, nil
}

// AddBlock implements sink.Run.
func (r *run) AddBlock(packed []byte) error {
	for key, value := range canonical.Records(packed) {
		r.some = true
		r.line = appendLine(r.line[:0], key, value)
		if _, err := r.out.Write(r.line); err != nil {
			return err
		}
	}
	return nil
}

func appendLine(dst, key, value []byte) []byte {
	dst = append(dst, `{"key":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, key)
	dst = append(dst, `","value":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, "\"}\n"...)
}

// Finish implements sink.Run.
func (r *run) Finish() (files []string, err error) {
	if !r.some {
		return nil, nil
	}
	if err := r.out.Flush(); err != nil {
		return nil, err
	}
	return r.file.Finish()
}

// Close implements sink.Run.
func (r *run) Close() error { return r.file.Close() }
