package strategytest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

// mutant is a strategy made of two functions, most of them wrong.
type mutant struct {
	prepare, snapshot func(context.Context, abi.Session) error
}

func (mutant) Init(context.Context, abi.Session) error { return nil }

func (m mutant) Prepare(ctx context.Context, s abi.Session) error { return m.prepare(ctx, s) }

func (m mutant) Snapshot(ctx context.Context, s abi.Session) error { return m.snapshot(ctx, s) }

func checkpoint(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func view(_ context.Context, s abi.Session) error {
	_, err := s.View()
	return err
}

func nothing(context.Context, abi.Session) error { return nil }

func uploadAll(ctx context.Context, s abi.Session) error {
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}

// submit uploads the files that pick accepts, as often as it says, and waits.
func submit(s abi.Session, pick func(abi.File) (times int)) error {
	files := make([]abi.File, 1000)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	var uploads []abi.Upload
	for _, f := range files[:n] {
		for range pick(f) {
			uploads = append(uploads, abi.Upload{File: f.ID})
		}
	}
	if _, err := s.Upload(uploads); err != nil {
		return err
	}
	return wait(s, len(uploads))
}

func wait(s abi.Session, pending int) error {
	done := make([]abi.Completion, 100)
	for pending > 0 {
		n, err := s.Wait(done)
		if err != nil {
			return err
		}
		for _, c := range done[:n] {
			if err := c.Err(); err != nil {
				return err
			}
		}
		pending -= n
	}
	return nil
}

// exported exports every column family but those that skip names.
func exported(ctx context.Context, s abi.Session, skip uint32, times int) error {
	var exports []abi.Export
	for range times {
		for _, family := range []uint32{0, 1} {
			if family != skip {
				exports = append(exports, abi.Export{Family: family})
			}
		}
	}
	return abi.ExportAll(ctx, s, exports)
}

func stream(s abi.Session, flags uint32) (abi.Stream, error) {
	return s.StreamOpen(abi.StreamSpec{Kind: abi.StreamRecords, Flags: flags})
}

var mutants = []struct {
	name              string
	prepare, snapshot func(context.Context, abi.Session) error
	errno             abi.Errno
	text              string
}{
	{"does nothing at all", nothing, nothing, abi.EINCOMPLETE, "neither a checkpoint nor a view"},
	{"uploads nothing", checkpoint, nothing, abi.EINCOMPLETE, "CURRENT"},
	{"drops a table", checkpoint, func(_ context.Context, s abi.Session) error {
		return submit(s, func(f abi.File) int { return times(f.Kind != abi.KindTable) })
	}, abi.EINCOMPLETE, ".sst"},
	{"drops CURRENT", checkpoint, func(_ context.Context, s abi.Session) error {
		return submit(s, func(f abi.File) int { return times(f.Kind != abi.KindCurrent) })
	}, abi.EINCOMPLETE, "CURRENT"},
	{"drops the OPTIONS", checkpoint, func(_ context.Context, s abi.Session) error {
		return submit(s, func(f abi.File) int { return times(f.Kind != abi.KindOptions) })
	}, abi.EINCOMPLETE, "OPTIONS-"},
	{"uploads a file twice", checkpoint, func(_ context.Context, s abi.Session) error {
		return submit(s, func(f abi.File) int { return 1 + times(f.Kind == abi.KindTable) })
	}, abi.ECONFLICT, ".sst was submitted twice"},
	{"uploads a file that is not there", checkpoint, func(_ context.Context, s abi.Session) error {
		_, err := s.Upload([]abi.Upload{{File: 1 << 20}})
		return err
	}, abi.ENOENT, "file 1048576"},
	{"reuses without a base", checkpoint, func(ctx context.Context, s abi.Session) error {
		return abi.Transfer(ctx, s, func(abi.File) abi.Choice { return abi.Choice{Reuse: true} })
	}, abi.ECONFLICT, "is not in the base"},
	{"shares CURRENT", checkpoint, func(ctx context.Context, s abi.Session) error {
		return abi.UploadAll(ctx, s, abi.ScopeShared)
	}, abi.EINVAL, "cannot be shared"},
	{"takes a base that is not there", func(_ context.Context, s abi.Session) error { return s.BaseUse(999) },
		nothing, abi.ENOENT, "base 999"},
	{"takes a checkpoint and a view", func(ctx context.Context, s abi.Session) error {
		if err := checkpoint(ctx, s); err != nil {
			return err
		}
		return view(ctx, s)
	}, nothing, abi.ECONFLICT, "view beside a checkpoint"},
	{"takes the checkpoint too late", nothing, checkpoint, abi.EPHASE, "checkpoint in snapshot"},
	{"uploads too early", uploadAll, nothing, abi.EPHASE, ""},
	{"never closes a stream", view, func(_ context.Context, s abi.Session) error {
		_, err := stream(s, 0)
		return err
	}, abi.EINCOMPLETE, "1 streams were not closed"},
	{"forgets a column family", view, func(ctx context.Context, s abi.Session) error {
		return exported(ctx, s, 1, 1)
	}, abi.EINCOMPLETE, `column family "orders"`},
	{"exports everything twice", view, func(ctx context.Context, s abi.Session) error {
		return exported(ctx, s, 99, 2)
	}, abi.EINCOMPLETE, `column family "default"`},
	{"writes records that it has not read", view, func(ctx context.Context, s abi.Session) error {
		if err := exported(ctx, s, 0, 1); err != nil {
			return err
		}
		out, err := stream(s, 0)
		if err != nil {
			return err
		}
		return out.Close()
	}, abi.EINCOMPLETE, "not scanned to their end"},
	{"loses records on the way", view, func(ctx context.Context, s abi.Session) error {
		if err := exported(ctx, s, 0, 1); err != nil {
			return err
		}
		return streamWithout(s, 1)
	}, abi.ECONFLICT, "records written"},
}

func times(condition bool) int {
	if condition {
		return 1
	}
	return 0
}

// streamWithout copies column family 0 block by block, but for the given number
// of blocks at its end.
func streamWithout(s abi.Session, blocks int) error {
	scan, err := s.ScanOpen(0, 0, 0)
	if err != nil {
		return err
	}
	defer scan.Close()
	out, err := stream(s, 0)
	if err != nil {
		return err
	}
	var kept [][]byte
	for {
		buf := make([]byte, 1000)
		n, err := scan.Next(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		kept = append(kept, buf[:n])
	}
	for _, block := range kept[:len(kept)-blocks] {
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return out.Close()
}

// site is a small database, with strategy as the subject.
func site(t *testing.T, strategy *mutant) *strategytest.Site {
	s := strategytest.NewSite(t, strategytest.Subject{
		Name: "mutant",
		Open: func() abi.Strategy { return strategy },
	}, strategytest.Database{Families: []string{"orders"}})
	s.Fill("default", 1, 100)
	s.Flush()
	s.Fill("orders", 2, 100)
	return s
}

// The guest proposes, the host proves: whatever a strategy leaves out, forges or
// mixes up is refused by name, and nothing of it is visible.
func TestMutantsAreRefused(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			strategy := &mutant{m.prepare, m.snapshot}
			s := site(t, strategy)
			_, err := s.TrySnapshot()
			require.ErrorIs(t, err, m.errno)
			require.ErrorContains(t, err, m.text)
			assert.Equal(t, host.CodePlugin, host.CodeOf(err), "it is the strategy that failed")
			assert.Empty(t, s.List())
			assert.Empty(t, s.Checkpoints())

			strategy.prepare, strategy.snapshot = checkpoint, uploadAll
			assert.Equal(t, s.Digest(), s.RestoredDigest(s.Snapshot().ID), "the host goes on")
		})
	}
}

// A strategy that does not wait for its uploads gets what was stored by then: all
// of it or a refusal, and nothing in between.
func TestReturnsBeforeItsUploadsEnd(t *testing.T) {
	s := site(t, &mutant{checkpoint, func(_ context.Context, s abi.Session) error {
		files := make([]abi.File, 100)
		n, err := s.FilesRead(0, files)
		if err != nil {
			return err
		}
		uploads := make([]abi.Upload, n)
		for i := range uploads {
			uploads[i].File = files[i].ID
		}
		_, err = s.Upload(uploads)
		return err
	}})
	for range 10 {
		before := s.List()
		m, err := s.TrySnapshot()
		if err != nil {
			require.ErrorIs(t, err, abi.EINCOMPLETE)
			require.Equal(t, before, s.List())
			continue
		}
		assert.Equal(t, s.Digest(), s.RestoredDigest(m.ID))
	}
}

// Tier C with nothing lost is a proven copy.
func TestStreamedCopyIsCanonical(t *testing.T) {
	s := site(t, &mutant{view, func(ctx context.Context, s abi.Session) error {
		if err := exported(ctx, s, 0, 1); err != nil {
			return err
		}
		return streamWithout(s, 0)
	}})
	m := s.Snapshot()
	assert.Equal(t, "canonical", m.Kind)
	assert.Equal(t, s.Digest(), m.ContentDigest)
	assert.Equal(t, s.Digest(), s.RestoredDigest(m.ID))
}
