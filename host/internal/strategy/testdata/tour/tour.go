// Package tour is a strategy for tests: it visits every method of the session,
// or goes wrong in a way that its configuration names.
package tour

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

// Strategy is the tour. Mode says what happens in Snapshot.
type Strategy struct {
	Mode string `json:"mode"`
	Note string `json:"note"`
}

// Init reads the configuration.
func (t *Strategy) Init(_ context.Context, s abi.Session) error {
	if err := guest.Config(s, t); err != nil {
		return err
	}
	info, err := s.Info()
	if err != nil {
		return err
	}
	s.Log(abi.LevelInfo, fmt.Sprintf("phase %s, %d groups, note of %d bytes", info.Phase, info.GroupCount, len(t.Note)))
	return nil
}

// Prepare captures the instant, in both ways.
func (t *Strategy) Prepare(_ context.Context, s abi.Session) error {
	bases := make([]abi.Base, 4)
	n, err := s.BasesRead(0, bases)
	if err != nil {
		return fmt.Errorf("list bases: %w", err)
	}
	if n > 0 {
		if err := s.BaseUse(bases[0].Slot); err != nil {
			return err
		}
	}
	if _, err := s.Checkpoint(); err != nil {
		s.Log(abi.LevelWarn, "told: "+err.Error())
		return fmt.Errorf("prepare the tour: %w", err)
	}
	_, err = s.View()
	return err
}

// Snapshot does what the mode says.
func (t *Strategy) Snapshot(ctx context.Context, s abi.Session) error {
	switch t.Mode {
	case "panic":
		panic("the tour bus broke down")
	case "exit":
		os.Exit(7)
	case "refuse":
		return fmt.Errorf("no tour\x1b[31m today: %w", abi.ECONFLICT)
	case "loop":
		for n := 0; ; n++ {
			s.Progress(uint64(n), 0)
		}
	case "patient":
		for ctx.Err() == nil {
		}
		return ctx.Err()
	case "hungry":
		var kept [][]byte
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "chatty":
		for n := range 10_000 {
			s.Log(abi.LevelInfo, fmt.Sprintf("line %d\nforged line", n))
		}
		return nil
	}
	return t.visit(ctx, s)
}

func (t *Strategy) visit(ctx context.Context, s abi.Session) error {
	for _, stop := range []func(context.Context, abi.Session) error{t.state, t.files, t.records, t.scan} {
		if err := stop(ctx, s); err != nil {
			return err
		}
	}
	s.Progress(1, 2)
	return nil
}

func (t *Strategy) state(_ context.Context, s abi.Session) error {
	if _, err := s.StateGet("absent"); !errors.Is(err, abi.ENOENT) {
		return fmt.Errorf("state of an absent key: %v", err)
	}
	big := strings.Repeat("x", 3<<10) // more than the buffer that the SDK starts with
	if err := s.StatePut("big", []byte(big)); err != nil {
		return err
	}
	value, err := s.StateGet("big")
	if err != nil || string(value) != big {
		return fmt.Errorf("state came back as %d bytes: %v", len(value), err)
	}
	if err := s.StateDelete("big"); err != nil {
		return err
	}
	return s.MetaPut("greeting", []byte("hello"))
}

func (t *Strategy) files(ctx context.Context, s abi.Session) error {
	if name, err := s.FileName(0); err != nil || name == "" {
		return fmt.Errorf("name of file 0: %q, %v", name, err)
	}
	return abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
		return abi.Choice{Reuse: f.Flags&abi.FileInBase != 0, Scope: abi.ScopeShared}
	})
}

func (t *Strategy) records(ctx context.Context, s abi.Session) error {
	families := make([]abi.Family, 2)
	n, err := s.FamiliesRead(0, families)
	if err != nil {
		return err
	}
	var exports []abi.Export
	for _, f := range families[:n] {
		if _, err := s.FamilyName(f.ID); err != nil {
			return err
		}
		exports = append(exports, abi.Export{Family: f.ID, LastGroup: 7, FrameBytes: 1 << 20, User: uint64(f.ID)})
	}
	return abi.ExportAll(ctx, s, exports)
}

func (t *Strategy) scan(_ context.Context, s abi.Session) error {
	scan, err := s.ScanOpen(0, 0, 7)
	if err != nil {
		return err
	}
	defer scan.Close()
	stream, err := s.StreamOpen(abi.StreamSpec{Kind: abi.StreamRecords, LastGroup: 7})
	if err != nil {
		return err
	}
	if _, err := scan.Next(make([]byte, 1)); !errors.Is(err, abi.EBUF) {
		return fmt.Errorf("a buffer of one byte: %v", err)
	}
	buf := make([]byte, scan.Need())
	n, err := scan.Next(buf)
	if err != nil {
		return err
	}
	if _, err := stream.Write(buf[:n]); err != nil {
		return err
	}
	for n > 0 {
		if n, err = s.Pump(scan, stream, buf); err != nil {
			return err
		}
	}
	return errors.Join(scan.Close(), scan.Close(), stream.Close())
}

// Notify writes down what it heard.
func (t *Strategy) Notify(_ context.Context, s abi.Session, n abi.Notification) error {
	s.Log(abi.LevelInfo, fmt.Sprintf("%s %d", n.Event, n.Slot))
	return nil
}

// Restore fetches the first file.
func (t *Strategy) Restore(_ context.Context, s abi.Session) error {
	if _, err := s.Fetch([]abi.Fetch{{File: 0, User: 5}}); err != nil {
		return err
	}
	done := make([]abi.Completion, 1)
	if _, err := s.Wait(done); err != nil {
		return err
	}
	return done[0].Err()
}
