package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// steered tells whether the configuration lets the strategy that took a snapshot
// steer its restore. Nothing else is ever asked: the files of a manifest restore
// without any module.
func (r *Repository) steered(m *Manifest) bool {
	table, ok := r.config().Strategies[m.Strategy.Name]
	return ok && slices.Contains(table.Allow, string(abi.GrantRestore))
}

// steer runs the Restore method of a strategy over the files of a manifest. It
// returns false when the strategy has none; then nothing has been fetched.
func (r *Repository) steer(ctx context.Context, m *Manifest, fetch func(context.Context, *File) error) (bool, error) {
	g, err := r.strategies.take(nil)
	if err != nil {
		return false, err
	}
	defer g.release(context.WithoutCancel(ctx))
	started, err := g.start(ctx, m.Strategy.Name)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &restoreSession{session: (&Host{Repository: r}).newSession(ctx, g, m.Strategy.Name, false), manifest: m, fetch: fetch, fetched: make([]bool, len(m.Contents))}
	defer func() {
		cancel()
		s.session.close()
		started.Close(context.WithoutCancel(ctx))
	}()
	s.enter(ctx, abi.PhaseInit)
	if err := started.Init(ctx, s); err != nil {
		return false, s.blame(err, "check [strategies."+m.Strategy.Name+".config]")
	}
	s.enter(ctx, abi.PhaseRestore)
	err = started.Restore(ctx, s)
	if errors.Is(err, abi.ENOSYS) {
		return false, nil
	}
	if err != nil {
		return true, s.blame(err, "")
	}
	return true, s.proveFetched()
}

// restoreSession is a session over the files of a manifest. Whatever belongs to
// taking a snapshot fails with [abi.EPHASE], as the embedded session says.
type restoreSession struct {
	*session
	manifest *Manifest
	fetch    func(context.Context, *File) error
	fetched  []bool // submitted, by file id
}

var _ abi.Session = (*restoreSession)(nil)

// FilesRead lists the files of the manifest.
func (s *restoreSession) FilesRead(start int, dst []abi.File) (int, error) {
	if err := s.allow("files_read", abi.PhaseRestore); err != nil {
		return 0, err
	}
	families := make(map[string]uint32, len(s.manifest.Families))
	for _, f := range s.manifest.Families {
		families[f.Name] = f.ID
	}
	n := 0
	for ; n < len(dst) && start >= 0 && start+n < len(s.manifest.Contents); n++ {
		dst[n] = fileRecord(uint32(start+n), &s.manifest.Contents[start+n], families)
	}
	return n, nil
}

// FileName returns the name of a file of the manifest.
func (s *restoreSession) FileName(id uint32) (string, error) {
	if id >= uint32(len(s.manifest.Contents)) {
		return "", fmt.Errorf("file %d: %w", id, abi.ENOENT)
	}
	return s.manifest.Contents[id].Name, nil
}

// Fetch submits files to be restored, each once.
func (s *restoreSession) Fetch(reqs []abi.Fetch) (int, error) {
	if err := s.allow("fetch", abi.PhaseRestore); err != nil {
		return 0, err
	}
	for i, r := range reqs {
		name, err := s.FileName(r.File)
		switch {
		case err != nil:
			return i, err
		case r.Flags != 0:
			return i, fmt.Errorf("%s: flags %#x: %w", name, r.Flags, abi.EINVAL)
		case s.fetched[r.File]:
			return i, fmt.Errorf("%s was submitted twice: %w", name, abi.ECONFLICT)
		}
		f := &s.manifest.Contents[r.File]
		accepted := s.transfers.submit(&request{
			completion: abi.Completion{User: r.User, Op: abi.OpFetch},
			failed:     s.ledger.fail,
			tasks: []task{func(ctx context.Context, c *abi.Completion) error {
				c.Bytes = uint64(f.Size)
				return s.fetch(ctx, f)
			}},
		})
		if !accepted {
			return i, nil
		}
		s.fetched[r.File] = true
	}
	return len(reqs), nil
}

// Wait waits for submitted requests.
func (s *restoreSession) Wait(dst []abi.Completion) (int, error) {
	if err := s.allow("wait", abi.PhaseRestore); err != nil {
		return 0, err
	}
	return s.transfers.wait(dst)
}

// proveFetched demands that every file was fetched and every fetch has ended.
func (s *restoreSession) proveFetched() error {
	done := make([]abi.Completion, 64)
	for {
		n, err := s.transfers.wait(done)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := s.ledger.cause(); err != nil {
		return err
	}
	var missing []string
	for id, ok := range s.fetched {
		if !ok {
			missing = append(missing, s.manifest.Contents[id].Name)
		}
	}
	if len(missing) > 0 {
		return problem(CodePlugin, fmt.Errorf("strategy %q did not fetch %s: %w", s.strategy, abbreviate(missing), abi.EINCOMPLETE), "")
	}
	return nil
}

// unsteered tells of any fault of a strategy that the restore can do without it.
func unsteered(err error, strategy string) error {
	if !fallible(err) {
		return err
	}
	return problem(CodePlugin, err, "take restore out of allow in [strategies."+strategy+"], and the host fetches every file")
}
