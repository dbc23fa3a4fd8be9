package jsonl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/sink"
)

// Read implements sink.Kind. It takes any JSON with a key and a value, one a line.
func (Kind) Read(ctx context.Context, dir string, visit sink.Visit) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("no JSON lines in %s: %w", dir, fs.ErrNotExist)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, ok := strings.CutSuffix(e.Name(), extension)
		if !ok {
			return fmt.Errorf("%s is no file of JSON lines", path)
		}
		family, err := sink.FamilyName(name)
		if err == nil {
			err = readFile(ctx, path, sink.NewBlocks(family, bufferBytes, visit))
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	return nil
}

func readFile(ctx context.Context, path string, out *sink.Blocks) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, bufferBytes)
	for n := 1; ctx.Err() == nil; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return out.Flush()
		}
		if err != nil && err != io.EOF {
			return err
		}
		r, err := parseLine(line)
		if err != nil {
			return fmt.Errorf("line %d: %w: %w", n, err, abi.ECORRUPT)
		}
		if err := out.Add(*r.Key, *r.Value); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// record is a line.
type record struct {
	Key   *[]byte `json:"key"`
	Value *[]byte `json:"value"`
}

func parseLine(line []byte) (r record, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	err = d.Decode(&r)
	switch {
	case err != nil:
		return r, err
	case r.Key == nil || r.Value == nil:
		return r, errors.New("it lacks a key or a value")
	case line[len(line)-1] != '\n':
		return r, errors.New("it has no end")
	}
	return r, nil
}
