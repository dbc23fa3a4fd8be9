package strategy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// enter calls the export of a phase.
func enter(ctx context.Context, i *Instance, p abi.Phase, d *double) error {
	switch p {
	case abi.PhaseInit:
		return i.Init(ctx, d)
	case abi.PhasePrepare:
		return i.Prepare(ctx, d)
	case abi.PhaseSnapshot:
		return i.Snapshot(ctx, d)
	case abi.PhaseNotify:
		return i.Notify(ctx, d, abi.Notification{Event: abi.EventComplete})
	}
	return i.Restore(ctx, d)
}

var phases = []abi.Phase{abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot, abi.PhaseNotify, abi.PhaseRestore}

func TestEveryCallKeepsToItsPhases(t *testing.T) {
	for n := range abi.Imports {
		f := &abi.Imports[n]
		m := load(t, calling(f).assemble(), Limits{})
		for _, p := range phases {
			i, d := newInstanceOf(t, m), &double{}
			err := enter(t.Context(), i, p, d)
			if allowed := f.Phases&p != 0; allowed {
				assert.NotErrorIs(t, err, abi.EPHASE, "%s in %s", f.Name, p)
				assert.NotErrorIs(t, err, ErrCrashed, "%s in %s", f.Name, p)
				continue
			}
			assert.ErrorIs(t, err, abi.EPHASE, "%s in %s", f.Name, p)
			assert.ErrorContains(t, err, p.String())
			assert.Empty(t, d.trace, "%s in %s", f.Name, p)
		}
	}
}

// TestCallsAfterCancel cancels the run between two calls of the guest.
func TestCallsAfterCancel(t *testing.T) {
	for n := range abi.Imports {
		f := &abi.Imports[n]
		i := newInstanceOf(t, load(t, reporting(calling(f)).assemble(), Limits{}))
		ctx, cancel := context.WithCancel(t.Context())
		d := &double{trip: cancel}
		err := enter(ctx, i, firstPhase(f), d)
		switch f.Name {
		case "info", "config_get", "log", "progress":
			assert.NoError(t, err, f.Name)
			assert.Len(t, d.trace, 2, f.Name)
		case "error_get", "error_set", "cancelled": // end in the adapter
			assert.NoError(t, err, f.Name)
		default:
			assert.ErrorIs(t, err, context.Canceled, f.Name)
			assert.Equal(t, []string{"progress 0 0"}, d.trace, f.Name)
		}
	}
}

func TestUngrantedImportIsNotLoaded(t *testing.T) {
	for n := range abi.Imports {
		f := &abi.Imports[n]
		others := slices.DeleteFunc(slices.Clone(abi.Grants), func(g abi.Grant) bool { return g == f.Grant })
		m, err := Load(t.Context(), "x", calling(f).assemble(), Options{Grants: others})
		if f.Grant == "" {
			require.NoError(t, err, f.Name)
			require.NoError(t, m.Close(t.Context()))
			continue
		}
		require.ErrorIs(t, err, abi.EPERM)
		assert.EqualError(t, err, fmt.Sprintf("load strategy %q: import rocksnap_v1.%s needs a capability: add %q to allow: capability not granted", "x", f.Name, f.Grant))
	}
}

// TestPointersToNowhere gives every pointer of every call memory that the guest
// does not have: past the end, across the end, and where the sum overflows.
func TestPointersToNowhere(t *testing.T) {
	const memory = pageSize
	bad := [][2]uint32{{memory, 128}, {memory - 4, 128}, {0xffffffff, 128}, {8, 0xffffffff}, {0xfffffff0, 0xfffffff0}, {memory + 8, 128}}
	for n := range abi.Imports {
		f := &abi.Imports[n]
		for _, at := range pointers(f) {
			for _, pair := range bad {
				m := load(t, calling(f, arguments(f, at, pair)...).assemble(), Limits{})
				i, d := newInstanceOf(t, m), &double{}
				err := enter(t.Context(), i, firstPhase(f), d)
				var pointer *badPointer
				require.ErrorIs(t, err, ErrCrashed, "%s %v", f.Name, pair)
				require.True(t, errors.As(err, &pointer), "%s %v: %v", f.Name, pair, err)
				assert.ErrorContains(t, err, f.Name+" was given offset")
				assert.Empty(t, d.trace, "%s %v", f.Name, pair)
			}
		}
	}
}

// pointers returns the positions of the pointers among a function's parameters;
// each is followed by its length.
func pointers(f *abi.Func) (list []int) {
	for n, p := range f.Params {
		if p.Name == "ptr" || p.Name == "buf" || p.Name == "key" {
			list = append(list, n)
		}
	}
	return list
}

// arguments puts a bad pointer at one place and sound values at all others.
func arguments(f *abi.Func, at int, pair [2]uint32) []uint32 {
	list := make([]uint32, len(f.Params))
	for n, p := range f.Params {
		if p.Name == "rec_size" {
			list[n] = 64 // as large as any record
		}
	}
	list[at], list[at+1] = pair[0], pair[1]
	return list
}

func firstPhase(f *abi.Func) abi.Phase {
	return phases[slices.IndexFunc(phases, func(p abi.Phase) bool { return f.Phases&p != 0 })]
}

func TestBadHandles(t *testing.T) {
	for _, name := range []string{"scan_next", "scan_need", "scan_close", "stream_write", "stream_close", "pump"} {
		f, _ := lookup(name)
		second := map[string]int{"pump": 1}[name] // else a pointer
		for _, number := range []uint32{0, 1, 64, 65, 0x7fffffff, 0xffffffff} {
			i := newInstanceOf(t, load(t, calling(f, number, number*uint32(second)).assemble(), Limits{}))
			assert.ErrorIs(t, i.Snapshot(t.Context(), &double{}), abi.EBADH, "%s %#x", name, number)
		}
	}
}

func TestHandles(t *testing.T) {
	var h handles
	d := &double{}
	first, err := h.add(&doubleScan{d})
	require.NoError(t, err)
	_, err = handle[abi.Stream](&h, uint32(first))
	assert.ErrorIs(t, err, abi.EBADH, "a scan is no stream")
	h.remove(uint32(first))
	second, err := h.add(&doubleScan{d})
	require.NoError(t, err)
	assert.NotEqual(t, first, second, "the slot is used again, the handle is not")
	_, err = handle[abi.Scan](&h, uint32(first))
	assert.ErrorIs(t, err, abi.EBADH)
	_, err = handle[abi.Scan](&h, uint32(second))
	assert.NoError(t, err)
	for range maxHandles - 1 {
		n, err := h.add(&doubleScan{d})
		require.NoError(t, err)
		require.Positive(t, int32(n))
	}
	_, err = h.add(&doubleScan{d})
	assert.ErrorIs(t, err, abi.EQUOTA)
	h.release()
	_, err = h.add(&doubleScan{d})
	assert.NoError(t, err)
}

// TestRecordsOfOtherSizes speaks with guests that know more of a record than the
// host, and with one whose buffer lies crooked.
func TestRecordsOfOtherSizes(t *testing.T) {
	const ours = 24 // abi.Family
	for _, tt := range []struct{ offset, size uint32 }{{0, ours}, {4, ours}, {8, ours + 8}} {
		f, _ := lookup("families_read")
		i := newInstanceOf(t, load(t, calling(f, 0, tt.offset, 2*tt.size, tt.size).assemble(), Limits{}))
		i.guest.Memory().Write(0, []byte(strings.Repeat("\xff", 128)))
		require.NoError(t, i.Prepare(t.Context(), &double{}))
		memory, _ := i.guest.Memory().Read(tt.offset, 2*tt.size+1)
		want := abi.Bytes([]abi.Family{{ID: 0, Records: 3}, {ID: 4, Flags: abi.FamilyBytewise}})
		for n := range 2 {
			padded := append(slices.Clone(want[n*ours:(n+1)*ours]), make([]byte, 64)...)
			assert.Equal(t, padded[:tt.size], memory[n*int(tt.size):(n+1)*int(tt.size)], "%+v record %d", tt, n)
		}
		assert.Equal(t, byte(0xff), memory[2*tt.size], "%+v: wrote past the end", tt)
	}
}

func TestRequestsOfOtherSizes(t *testing.T) {
	f, _ := lookup("upload")
	for _, size := range []uint32{16, 40} {
		i := newInstanceOf(t, load(t, calling(f, 3, 2, size).assemble(), Limits{}))
		for n := range uint32(2) {
			i.guest.Memory().Write(3+n*size, abi.Bytes([]abi.Upload{{File: 7 + n, Scope: 1, User: 9}}))
		}
		d := &double{}
		require.NoError(t, i.Snapshot(t.Context(), d))
		want := []abi.Upload{{File: 7, Scope: 1, User: 9}, {File: 8, Scope: 1, User: 9}}
		assert.Equal(t, []string{fmt.Sprintf("upload %v", want)}, d.trace)
	}
}

func TestRecSizeMustMakeSense(t *testing.T) {
	for name, args := range map[string][]uint32{"families_read": {0, 0, 64, 0}, "files_read": {0, 0, 8, 64}, "bases_read": {0, 0, 64, 8}} {
		f, _ := lookup(name)
		i := newInstanceOf(t, load(t, calling(f, args...).assemble(), Limits{}))
		assert.ErrorIs(t, i.Prepare(t.Context(), &double{files: 1}), abi.EINVAL)
	}
}

// TestValueThatDoesNotFit probes for a length: nothing may be written.
func TestValueThatDoesNotFit(t *testing.T) {
	f, _ := lookup("config_get")
	i := newInstanceOf(t, load(t, calling(f, 0, 3).assemble(), Limits{}))
	i.guest.Memory().Write(0, []byte("????"))
	d := &double{config: "{ }\n"}
	require.NoError(t, i.Init(t.Context(), d))
	require.NoError(t, i.Prepare(t.Context(), d), "a later phase asks anew")
	memory, _ := i.guest.Memory().Read(0, 4)
	assert.Equal(t, "????", string(memory))
	assert.Equal(t, []string{"config_get", "config_get"}, d.trace)
}
