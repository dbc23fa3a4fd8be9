package abi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// queue is the part of a session that moves files: a queue with room for a number
// of requests, which ends them in any order. It stands in for the host because
// the interface is the seam. A method that it lacks is one that no transfer may
// call.
type queue struct {
	abi.Session
	files   int
	room    int                            // requests that may be under way; 0 accepts none ever
	outcome func(c abi.Completion) error   // of a request; nil is success
	fault   func(call string, n int) error // of a call, by its number among all calls
	random  *rand.Rand

	calls   int
	under   []abi.Completion
	ended   map[uint32][]abi.Op // successful requests by file
	scopes  map[uint32]abi.Scope
	exports []abi.Export
}

func newQueue(files, room int) *queue {
	return &queue{
		files: files, room: room, random: rand.New(rand.NewPCG(uint64(files), uint64(room))),
		outcome: func(abi.Completion) error { return nil },
		fault:   func(string, int) error { return nil },
		ended:   make(map[uint32][]abi.Op), scopes: make(map[uint32]abi.Scope),
	}
}

func (q *queue) call(name string) error {
	q.calls++
	return q.fault(name, q.calls)
}

// FilesRead lists files of which every third is in the base.
func (q *queue) FilesRead(start int, dst []abi.File) (int, error) {
	if err := q.call("files_read"); err != nil {
		return 0, err
	}
	n := 0
	for ; n < len(dst) && start+n < q.files; n++ {
		dst[n] = abi.File{ID: uint32(start + n), Kind: abi.KindTable}
		if (start+n)%3 == 0 {
			dst[n].Flags = abi.FileInBase
		}
	}
	return n, nil
}

func (q *queue) FileName(id uint32) (string, error) {
	return fmt.Sprintf("%06d.sst", id), q.call("file_name")
}

// accept takes as many requests as there is room for.
func (q *queue) accept(call string, count int, completion func(i int) abi.Completion) (int, error) {
	if err := q.call(call); err != nil {
		return 0, err
	}
	n := min(count, q.room-len(q.under))
	for i := range n {
		q.under = append(q.under, completion(i))
	}
	return n, nil
}

func (q *queue) Upload(reqs []abi.Upload) (int, error) {
	return q.accept("upload", len(reqs), func(i int) abi.Completion {
		q.scopes[reqs[i].File] = reqs[i].Scope
		return abi.Completion{User: reqs[i].User, Op: abi.OpUpload, Records: uint64(reqs[i].File)}
	})
}

func (q *queue) Reuse(reqs []abi.Reuse) (int, error) {
	return q.accept("reuse", len(reqs), func(i int) abi.Completion {
		return abi.Completion{User: reqs[i].User, Op: abi.OpReuse, Records: uint64(reqs[i].File)}
	})
}

func (q *queue) Export(reqs []abi.Export) (int, error) {
	return q.accept("export", len(reqs), func(i int) abi.Completion {
		q.exports = append(q.exports, reqs[i])
		return abi.Completion{User: reqs[i].User, Op: abi.OpExport}
	})
}

// Wait ends some of the requests under way, at least one, in any order.
func (q *queue) Wait(dst []abi.Completion) (int, error) {
	if err := q.call("wait"); err != nil || len(q.under) == 0 {
		return 0, err
	}
	q.random.Shuffle(len(q.under), func(i, j int) { q.under[i], q.under[j] = q.under[j], q.under[i] })
	n := 1 + q.random.IntN(min(len(dst), len(q.under)))
	for i, c := range q.under[:n] {
		file := uint32(c.Records)
		if err := q.outcome(c); err != nil {
			c.Status = -int32(abi.ErrnoOf(err))
		} else {
			q.ended[file] = append(q.ended[file], c.Op)
		}
		dst[i] = c
	}
	q.under = q.under[n:]
	return n, nil
}

// increment reuses what the base has, as shared, and uploads the rest.
func increment(f abi.File) abi.Choice {
	if f.Flags&abi.FileInBase != 0 {
		return abi.Choice{Reuse: true, Scope: abi.ScopeShared}
	}
	return abi.Choice{Scope: abi.ScopePrivate}
}

func TestTransferMovesEveryFileOnce(t *testing.T) {
	for _, files := range []int{0, 1, 2, 1024, 1025, 10_000} {
		for _, room := range []int{1, 7, 256, 4096} {
			q := newQueue(files, room)
			require.NoError(t, abi.Transfer(t.Context(), q, increment))
			assert.Empty(t, q.under, "%d files, room for %d: nothing is left under way", files, room)
			require.Len(t, q.ended, files)
			for id, ops := range q.ended {
				want := abi.OpUpload
				if id%3 == 0 {
					want = abi.OpReuse
				}
				require.Equal(t, []abi.Op{want}, ops, "file %d", id)
			}
		}
	}
}

func TestTransferFallsBackToUploading(t *testing.T) {
	for _, room := range []int{1, 7, 4096} {
		q := newQueue(2500, room)
		q.outcome = func(c abi.Completion) error {
			if c.Op == abi.OpReuse {
				return abi.ENOENT
			}
			return nil
		}
		require.NoError(t, abi.Transfer(t.Context(), q, increment))
		require.Len(t, q.ended, 2500)
		for id, ops := range q.ended {
			require.Equal(t, []abi.Op{abi.OpUpload}, ops, "file %d", id)
			require.Equal(t, id%3 == 0, q.scopes[id] == abi.ScopeShared, "file %d keeps the scope of its choice", id)
		}
	}
}

func TestUploadAllNeedsNoBase(t *testing.T) {
	for _, scope := range []abi.Scope{abi.ScopePrivate, abi.ScopeShared} {
		q := newQueue(1500, 100)
		q.fault = func(call string, _ int) error {
			if call == "reuse" {
				return abi.EPERM
			}
			return nil
		}
		require.NoError(t, abi.UploadAll(t.Context(), q, scope))
		require.Len(t, q.ended, 1500)
		for id := range q.ended {
			require.Equal(t, scope, q.scopes[id])
		}
	}
}

// Ten thousand files cost a guest a few dozen calls.
func TestTransferCallsAreFew(t *testing.T) {
	q := newQueue(10_000, 4096)
	require.NoError(t, abi.Transfer(t.Context(), q, increment))
	assert.Less(t, q.calls, 250)
}

func TestTransferFailureNamesTheFile(t *testing.T) {
	tests := []struct {
		name string
		op   abi.Op
		err  abi.Errno
		file uint32
		text string
	}{
		{"upload", abi.OpUpload, abi.EIO, 7, "000007.sst: input/output error"},
		{"upload of a missing file is no fallback", abi.OpUpload, abi.ENOENT, 8, "000008.sst: not found"},
		{"reuse", abi.OpReuse, abi.ECONFLICT, 9, "000009.sst: conflict"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := newQueue(100, 10)
			q.outcome = func(c abi.Completion) error {
				if c.Op == test.op && uint32(c.Records) == test.file {
					return test.err
				}
				return nil
			}
			err := abi.Transfer(t.Context(), q, increment)
			assert.EqualError(t, err, test.text)
			assert.ErrorIs(t, err, test.err)
		})
	}
}

func TestTransferFailureWithoutName(t *testing.T) {
	q := newQueue(10, 10)
	q.outcome = func(abi.Completion) error { return abi.EIO }
	q.fault = func(call string, _ int) error {
		if call == "file_name" {
			return abi.EPHASE
		}
		return nil
	}
	assert.Equal(t, abi.EIO, abi.UploadAll(t.Context(), q, abi.ScopePrivate), "the first failure counts")
}

// Whichever call of a session fails, a transfer ends with that very error.
func TestTransferPassesOnFailuresOfCalls(t *testing.T) {
	whole := newQueue(3000, 500)
	require.NoError(t, abi.Transfer(t.Context(), whole, increment))
	for n := 1; n <= whole.calls; n++ {
		q := newQueue(3000, 500)
		q.fault = func(_ string, call int) error {
			if call == n {
				return abi.EQUOTA
			}
			return nil
		}
		require.Equal(t, abi.EQUOTA, abi.Transfer(t.Context(), q, increment), "call %d", n)
		require.Equal(t, n, q.calls, "nothing is called after a failure")
	}
}

func TestTransferStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := newQueue(10_000, 10)
	assert.ErrorIs(t, abi.Transfer(ctx, q, increment), context.Canceled)
	assert.Empty(t, q.under, "nothing is submitted")

	ctx, cancel = context.WithCancel(t.Context())
	q = newQueue(10_000, 10)
	q.fault = func(_ string, n int) error {
		if n == 50 {
			cancel()
		}
		return nil
	}
	assert.ErrorIs(t, abi.Transfer(ctx, q, increment), context.Canceled)
	assert.LessOrEqual(t, q.calls, 52)
}

func TestStalledHostIsAnError(t *testing.T) {
	q := newQueue(10, 0)
	assert.ErrorIs(t, abi.Transfer(t.Context(), q, increment), abi.EINTERNAL)
	assert.ErrorIs(t, abi.ExportAll(t.Context(), q, make([]abi.Export, 3)), abi.EINTERNAL)
}

func TestExportAll(t *testing.T) {
	exports := make([]abi.Export, 500)
	for i := range exports {
		exports[i] = abi.Export{Family: uint32(i), User: uint64(i)}
	}
	for _, room := range []int{1, 7, 4096} {
		q := newQueue(0, room)
		require.NoError(t, abi.ExportAll(t.Context(), q, exports))
		assert.Equal(t, exports, q.exports)
		assert.Empty(t, q.under)
	}
	assert.NoError(t, abi.ExportAll(t.Context(), newQueue(0, 1), nil), "nothing to export")
}

func TestExportAllFails(t *testing.T) {
	q := newQueue(0, 10)
	q.outcome = func(abi.Completion) error { return abi.EIO }
	assert.ErrorIs(t, abi.ExportAll(t.Context(), q, make([]abi.Export, 30)), abi.EIO)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, abi.ExportAll(ctx, newQueue(0, 10), make([]abi.Export, 30)), context.Canceled)
}
