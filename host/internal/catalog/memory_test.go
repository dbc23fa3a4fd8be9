package catalog

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// memory is a store without a disk, for the tests that need thousands of them.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// remembered makes an empty repository in memory.
func remembered(t testing.TB) blob.Store {
	t.Helper()
	m := &memory{objects: map[string][]byte{}}
	_, err := Init(t.Context(), m, Format{})
	require.NoError(t, err)
	return m
}

func (m *memory) Create(_ context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[name]; taken {
		return fs.ErrExist
	}
	m.objects[name] = data
	return nil
}

func (m *memory) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	data = data[offset:]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (m *memory) Stat(_ context.Context, name string) (blob.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[name]
	if !ok {
		return blob.Info{}, fs.ErrNotExist
	}
	return blob.Info{Name: name, Size: int64(len(data))}, nil
}

func (m *memory) List(_ context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var infos []blob.Info
	for name, data := range m.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			infos = append(infos, blob.Info{Name: name, Size: int64(len(data))})
		}
	}
	slices.SortFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Name, b.Name) })
	return func(yield func(blob.Info, error) bool) {
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, names ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.objects, name)
	}
	return nil
}

func (m *memory) Tidy(context.Context, time.Time) (blob.Tidied, error) { return blob.Tidied{}, nil }
