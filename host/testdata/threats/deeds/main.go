// Command deeds is the hostile strategy of the tests of threats. Its
// configuration names the deed.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(&deeds{}) }

func main() {}

type deeds struct {
	Deed string `json:"deed"`
	Slot uint64 `json:"slot"` // of a snapshot of somebody else
	Seed uint64 `json:"seed"` // of deed "random"
}

// records are the deeds that work on the view.
var records = map[string]func(abi.Session) error{
	"drop records":       forge(func(block [][]byte) [][]byte { return block[1:] }),
	"double records":     forge(func(block [][]byte) [][]byte { return append(block[:1], block...) }),
	"swap records":       forge(func(block [][]byte) [][]byte { block[0], block[1] = block[1], block[0]; return block }),
	"change a value":     forge(func(block [][]byte) [][]byte { block[0][len(block[0])-1] ^= 1; return block }),
	"half a record":      forge(func(block [][]byte) [][]byte { return append(block, []byte{9, 0, 0, 0, 1}) }),
	"huge record":        forge(func(block [][]byte) [][]byte { return append(block, []byte{255, 255, 255, 255, 255, 255, 255, 255}) }),
	"forge a group":      forge(func(block [][]byte) [][]byte { return append(block, []byte{2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) }),
	"stop half way":      halfway,
	"export one family":  exportOne,
	"export twice":       exportTwice,
	"write into another": intoAnother,
	"close nothing":      closeNothing,
}

// Init reads the deed.
func (d *deeds) Init(_ context.Context, s abi.Session) error { return guest.Config(s, d) }

// Prepare captures the instant in the way that the deed needs.
func (d *deeds) Prepare(_ context.Context, s abi.Session) error {
	switch d.Deed {
	case "random":
		return d.random(s, abi.PhasePrepare)
	case "foreign base":
		if err := s.BaseUse(d.Slot); err != nil {
			return fmt.Errorf("use base %d: %w", d.Slot, err)
		}
	case "fill the state":
		return fill(s.StatePut)
	case "fill the metadata":
		return fill(s.MetaPut)
	case "remember", "remember and fail":
		if err := s.StatePut("note", []byte(d.Deed)); err != nil {
			return err
		}
	}
	if _, ok := records[d.Deed]; ok {
		_, err := s.View()
		return err
	}
	if d.Deed == "capture nothing" {
		return nil
	}
	_, err := s.Checkpoint()
	return err
}

func fill(put func(string, []byte) error) error {
	for n := 0; ; n++ {
		if err := put(fmt.Sprint("key ", n), make([]byte, 64<<10)); err != nil {
			return err
		}
	}
}

// Snapshot does the deed.
func (d *deeds) Snapshot(ctx context.Context, s abi.Session) error {
	if do, ok := records[d.Deed]; ok {
		return do(s)
	}
	switch d.Deed {
	case "random":
		_ = d.random(s, abi.PhaseSnapshot) // and it carries on as if nothing had happened
		return nil
	case "loop":
		for n := uint64(0); ; n++ {
			if n == 1<<63 {
				return nil
			}
		}
	case "sleep":
		for {
			time.Sleep(time.Hour)
		}
	case "hoard":
		for hoard := [][]byte(nil); ; {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	case "crash":
		panic("all is lost")
	case "remember and fail":
		return errors.New("changed my mind")
	case "recall":
		note, err := s.StateGet("note")
		if err != nil && !errors.Is(err, abi.ENOENT) {
			return err
		}
		if err := s.MetaPut("note", note); err != nil {
			return err
		}
	}
	return d.files(ctx, s)
}

// files does the deeds that work on the checkpoint.
func (d *deeds) files(ctx context.Context, s abi.Session) error {
	files := make([]abi.File, 1000)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	files = files[:n]
	switch d.Deed {
	case "forget a table", "forget CURRENT":
		kind := map[string]abi.Kind{"forget a table": abi.KindTable, "forget CURRENT": abi.KindCurrent}[d.Deed]
		for i, f := range files {
			if f.Kind == kind {
				return upload(s, append(files[:i:i], files[i+1:]...), abi.ScopePrivate)
			}
		}
	case "upload twice":
		return upload(s, append(files, files[0]), abi.ScopePrivate)
	case "upload nothing":
		return nil
	case "a file of its own making":
		return upload(s, []abi.File{{ID: 4_000_000_000}}, abi.ScopePrivate)
	case "share what changes":
		return upload(s, files, abi.ScopeShared)
	case "reuse without a base":
		_, err := s.Reuse([]abi.Reuse{{File: files[0].ID}})
		return err
	}
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}

func upload(s abi.Session, files []abi.File, scope abi.Scope) error {
	for _, f := range files {
		if _, err := s.Upload([]abi.Upload{{File: f.ID, Scope: scope}}); err != nil {
			return err
		}
		done := make([]abi.Completion, 1)
		if _, err := s.Wait(done); err != nil {
			return err
		}
		if err := done[0].Err(); err != nil {
			return err
		}
	}
	return nil
}

// Notify says that it was told.
func (d *deeds) Notify(_ context.Context, s abi.Session, n abi.Notification) error {
	s.Log(abi.LevelInfo, "hears of "+n.Event.String())
	return nil
}

// Restore leaves out, or takes twice, what the deed says.
func (d *deeds) Restore(_ context.Context, s abi.Session) error {
	files := make([]abi.File, 1000)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	files = files[:n]
	switch d.Deed {
	case "omit a file":
		files = files[1:]
	case "fetch twice":
		files = append(files, files[0])
	case "fetch the unknown":
		files = append(files, abi.File{ID: 1 << 30})
	case "fail a restore":
		return errors.New("will not")
	case "omit everything":
		return nil
	}
	for _, f := range files {
		if _, err := s.Fetch([]abi.Fetch{{File: f.ID}}); err != nil {
			return err
		}
		done := make([]abi.Completion, 1)
		if _, err := s.Wait(done); err != nil {
			return err
		}
		if err := done[0].Err(); err != nil {
			return err
		}
	}
	return nil
}

// random makes calls in an order, and with arguments, that mean nothing, and
// looks at no error.
func (d *deeds) random(s abi.Session, phase abi.Phase) error {
	random := rand.New(rand.NewPCG(d.Seed, uint64(phase)))
	var scan abi.Scan
	var stream abi.Stream
	for range 30 {
		small := random.Uint32N(6)
		switch random.IntN(16) {
		case 0, 1:
			_, _ = s.Checkpoint()
		case 2:
			_, _ = s.View()
		case 3:
			_ = s.BaseUse(uint64(small))
		case 4, 5, 6, 7:
			_, _ = s.Upload([]abi.Upload{{File: small, Scope: abi.Scope(random.Uint32N(3))}})
		case 8:
			_, _ = s.Reuse([]abi.Reuse{{File: small}})
		case 9:
			_, _ = s.Wait(make([]abi.Completion, 1+small))
		case 10:
			_, _ = s.Export([]abi.Export{{Family: small % 3}})
		case 11:
			scan, _ = s.ScanOpen(small%3, 0, 0)
		case 12:
			spec := abi.StreamSpec{Kind: abi.StreamKind(random.Uint32N(4)), Family: small % 3, Flags: random.Uint32N(3)}
			stream, _ = s.StreamOpen(spec)
		case 13:
			if scan != nil && stream != nil {
				_, _ = s.Pump(scan, stream, make([]byte, 1<<17))
			}
		case 14:
			if stream != nil {
				_, _ = stream.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0, byte(small)})
			}
		case 15:
			if stream != nil {
				_ = stream.Close()
			}
		}
	}
	return nil
}
