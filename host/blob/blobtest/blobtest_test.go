package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/dir"
)

// broken stores, each with the law that must catch it.
var broken = []struct {
	name, law string
	wrap      func(blob.Store) blob.Store
}{
	{"overwrites", "create on a taken name changes nothing", func(s blob.Store) blob.Store { return overwriting{s} }},
	{"claims to have created", "one of many racing creators wins", func(s blob.Store) blob.Store { return claiming{s} }},
	{"stores what came before an error", "an error of the reader leaves nothing", func(s blob.Store) blob.Store { return hasty{s} }},
	{"stores what came before cancelling", "cancelling a create leaves nothing", func(s blob.Store) blob.Store { return hasty{s} }},
	{"cuts objects", "create large object", cutting},
	{"lists unsorted", "list every prefix after every name", func(s blob.Store) blob.Store { return unsorted{s} }},
	{"takes any length", "open ranges", func(s blob.Store) blob.Store { return lenient{s} }},
	{"misses what is absent", "delete what is absent", func(s blob.Store) blob.Store { return strict{s} }},
}

// envBroken makes the test binary run the laws on one of the broken stores.
const envBroken = "ROCKSNAP_TEST_BROKEN"

// TestBroken runs in a child for each broken store, where it has to fail.
func TestBroken(t *testing.T) {
	for _, b := range broken {
		if os.Getenv(envBroken) == b.name {
			blobtest.Run(t, func(t *testing.T) blob.Store {
				s, err := dir.Create(t.TempDir())
				require.NoError(t, err)
				return b.wrap(s)
			})
			return
		}
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) { requireCaught(t, b.name, b.law) })
	}
}

func requireCaught(t *testing.T, name, law string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run", "^TestBroken$/^"+strings.ReplaceAll(law, " ", "_")+"$")
	cmd.Env = append(os.Environ(), envBroken+"="+name)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Contains(t, string(out), "--- FAIL: TestBroken/"+strings.ReplaceAll(law, " ", "_"))
}

type overwriting struct{ blob.Store }

func (s overwriting) Create(ctx context.Context, name string, r io.Reader) error {
	return errors.Join(s.Delete(ctx, name), s.Store.Create(ctx, name, r))
}

type claiming struct{ blob.Store }

func (s claiming) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.Store.Create(ctx, name, r); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// hasty commits what it has when its source fails.
type hasty struct{ blob.Store }

func (s hasty) Create(ctx context.Context, name string, r io.Reader) error {
	var got bytes.Buffer
	_, failed := io.Copy(&got, io.LimitReader(r, 4<<20))
	err := s.Store.Create(context.WithoutCancel(ctx), name, &got)
	return errors.Join(failed, err, ctx.Err())
}

func cutting(s blob.Store) blob.Store {
	return blob.Faulty(s, func(blob.Call) blob.Fault {
		return blob.Fault{Mode: blob.Cut, At: 1 << 20, Err: io.EOF}
	})
}

// unsorted lists by path element, as walking a tree does.
type unsorted struct{ blob.Store }

func (s unsorted) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, deep := range []bool{true, false} {
			for info, err := range s.Store.List(ctx, prefix, after) {
				if strings.Contains(info.Name, "/") == deep && !yield(info, err) {
					return
				}
			}
		}
	}
}

type lenient struct{ blob.Store }

func (s lenient) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, name, offset, -1)
	if err != nil || length < 0 {
		return r, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}

type strict struct{ blob.Store }

func (s strict) Delete(ctx context.Context, name string) error {
	if _, err := s.Stat(ctx, name); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}
