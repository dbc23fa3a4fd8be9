package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// Deed is what a process of its own does while its memory is measured.
type Deed string

// The deeds.
const (
	DeedSnapshot Deed = "snapshot" // of the whole database
	DeedRestore  Deed = "restore"
	DeedVerify   Deed = "verify"
)

func memoryCases() []Case {
	bars := []Bar{{Memory: true, Peak: 64 << 20}, {Of: []string{quarterSize}, Factor: 1.1, Memory: true}}
	list := []struct {
		name     string
		deed     Deed
		strategy string
	}{
		{"memory-snapshot", DeedSnapshot, "native-full"}, {"memory-restore", DeedRestore, "native-full"},
		{"memory-verify", DeedVerify, "native-full"}, {"memory-canonical", DeedSnapshot, "canonical"},
		{"memory-canonical-restore", DeedRestore, "canonical"},
	}
	cases := make([]Case, len(list))
	for i, one := range list {
		cases[i] = Case{
			Name: one.name, About: fmt.Sprintf("peak of the memory of a process for one %s, %s, above that of one that only opens", one.deed, one.strategy),
			Contenders: func(ctx context.Context, g *Ground) ([]Contender, error) {
				return remembered(ctx, g, one.deed, one.strategy)
			},
			Bars: bars,
		}
	}
	return cases
}

// remembered does a deed on a database and on one of a quarter of its size.
func remembered(ctx context.Context, g *Ground, deed Deed, strategy string) ([]Contender, error) {
	var list []Contender
	for name, part := range map[string]int64{ours: 1, quarterSize: 4} {
		shape := g.shape()
		shape.Bytes /= part
		db, err := g.database(shape)
		if err != nil {
			return nil, err
		}
		s, err := g.basedOn(ctx, db, strategy) // compiles the module as well
		if err != nil {
			return nil, err
		}
		list = append(list, s.remember(name, deed))
	}
	if list[0].Name != ours {
		list[0], list[1] = list[1], list[0]
	}
	return list, nil
}

// remember has a process do a deed, and one that only opens before it.
func (s *site) remember(name string, deed Deed) Contender {
	c := Contender{Name: name}
	if s.ground.Program == "" {
		c.Missing = "only the program itself can measure it"
	}
	var idle int64
	c.Before = func(ctx context.Context) (err error) {
		if deed == DeedSnapshot {
			err = s.fresh(ctx)
		}
		if err == nil {
			err = errors.Join(os.RemoveAll(s.target()), s.ground.settle())
		}
		if err == nil {
			idle, err = s.child(ctx, deed, "idle")
		}
		return err
	}
	c.Run = func(ctx context.Context) (Measure, error) {
		var most int64
		m, err := timed(0, func() (err error) {
			most, err = s.child(ctx, deed, "")
			return err
		})
		m.Peak = max(most-idle, 1)
		return m, err
	}
	return c
}

// child runs a process of the program and returns the most memory that it had, in
// bytes.
func (s *site) child(ctx context.Context, deed Deed, idle string) (int64, error) {
	cmd := exec.CommandContext(ctx, s.ground.Program, "bench-deed", string(deed), s.folder, s.ground.cache(), idle)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", deed, err, failed.String())
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

func (s *site) target() string { return filepath.Join(s.folder, "restored") }

// Do does a deed in this process, with the configuration in a folder and the modules in
// a cache, or only opens what it needs. It returns the most memory that the process has
// had, in bytes.
func Do(ctx context.Context, deed Deed, folder, cache string, idle bool) (peak int64, err error) {
	cfg, err := config.Load(filepath.Join(folder, "rocksnap.toml"))
	if err != nil {
		return 0, err
	}
	var r *host.Repository
	if deed == DeedSnapshot {
		err = doSnapshot(ctx, cfg, cache, idle)
	} else if r, err = host.OpenRepository(ctx, cfg); err == nil && !idle {
		err = doRead(ctx, r, deed, filepath.Join(folder, "restored"))
	}
	if err != nil {
		return 0, err
	}
	return highWater()
}

func doSnapshot(ctx context.Context, cfg *config.Config, cache string, idle bool) error {
	h, err := host.Open(ctx, cfg, host.WithModuleCache(cache))
	if err != nil {
		return err
	}
	if !idle {
		_, err = h.Snapshot(ctx, host.SnapshotOptions{})
	}
	return errors.Join(err, h.Close())
}

func doRead(ctx context.Context, r *host.Repository, deed Deed, target string) error {
	if deed == DeedVerify {
		_, err := r.Verify(ctx, host.VerifyOptions{Level: host.LevelData})
		return err
	}
	_, err := r.Restore(ctx, host.RestoreOptions{Target: target, Claim: host.NotClaimed})
	return err
}

// highWater is the most memory that this process has had at a time. What getrusage(2)
// says is no use: it begins with the memory of the process that started this one.
func highWater() (int64, error) {
	text := field("/proc/self/status", "VmHWM")
	number, ok := strings.CutSuffix(text, " kB")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("peak of memory: the system says %q", text)
	}
	return n << 10, nil
}
