package mutant

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
)

// uploads submits as many uploads of each file as pick says, and waits.
func uploads(pick func(abi.File) int) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error {
		files, err := list(s)
		if err != nil {
			return err
		}
		var reqs []abi.Upload
		for _, f := range files {
			for range pick(f) {
				reqs = append(reqs, abi.Upload{File: f.ID})
			}
		}
		return send(s, reqs)
	}
}

func list(s abi.Session) ([]abi.File, error) {
	files := make([]abi.File, 1000)
	n, err := s.FilesRead(0, files)
	return files[:n], err
}

func send(s abi.Session, reqs []abi.Upload) error {
	for len(reqs) > 0 {
		n, err := s.Upload(reqs)
		if err != nil {
			return err
		}
		reqs = reqs[n:]
		if err := wait(s, n); err != nil {
			return err
		}
	}
	return nil
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

// without uploads all files but those of a kind.
func without(kind abi.Kind) func(context.Context, abi.Session) error {
	return uploads(func(f abi.File) int {
		if f.Kind == kind {
			return 0
		}
		return 1
	})
}

// upload submits a single request, as it stands.
func upload(r abi.Upload) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error { return send(s, []abi.Upload{r}) }
}

// reuses submits every file that is in the base as often as times says, and
// uploads the others, and those in the base too where both says so.
func reuses(times int, both bool) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error {
		files, err := list(s)
		if err != nil {
			return err
		}
		var again []abi.Reuse
		var reqs []abi.Upload
		for _, f := range files {
			inBase := f.Flags&abi.FileInBase != 0
			for range times {
				if inBase {
					again = append(again, abi.Reuse{File: f.ID})
				}
			}
			if !inBase || both {
				reqs = append(reqs, abi.Upload{File: f.ID})
			}
		}
		n, err := s.Reuse(again)
		if err != nil {
			return err
		}
		if err := wait(s, n); err != nil {
			return err
		}
		return send(s, reqs)
	}
}

// reuseAll reuses what is not in the base.
func reuseAll(_ context.Context, s abi.Session) error {
	files, err := list(s)
	if err != nil {
		return err
	}
	reqs := make([]abi.Reuse, len(files))
	for i, f := range files {
		reqs[i].File = f.ID
	}
	n, err := s.Reuse(reqs)
	if err != nil {
		return err
	}
	return wait(s, n)
}

// oneFileForAll submits the first file so often that no queue holds it, hears that
// this is wrong, and does not care.
func oneFileForAll(_ context.Context, s abi.Session) error {
	reqs := make([]abi.Upload, 100_000)
	n, err := s.Upload(reqs)
	if err != nil {
		return err
	}
	done := make([]abi.Completion, 100)
	for n > 0 {
		ended, err := s.Wait(done)
		if err != nil {
			return err
		}
		n -= ended
	}
	return nil
}

// ignoresErrors goes on after every refusal, and says that all is well.
func ignoresErrors(_ context.Context, s abi.Session) error {
	_, _ = s.Upload([]abi.Upload{{File: 1 << 20}})
	_, _ = s.Checkpoint()
	_, _ = s.Reuse([]abi.Reuse{{File: 0}})
	return nil
}

// baseTwice takes the newest base twice.
func baseTwice(ctx context.Context, s abi.Session) error {
	if err := increment(ctx, s); err != nil {
		return err
	}
	return increment(ctx, s)
}

// lateBase takes the checkpoint first, and a base when it has seen the files.
func lateBase(_ context.Context, s abi.Session) error {
	if _, err := list(s); err != nil {
		return err
	}
	return s.BaseUse(1)
}
