package abi

import (
	"context"
	"errors"
)

// Choice is what a strategy wants done with one file.
type Choice struct {
	Reuse bool  // refer to the base's object; falls back to uploading when that is gone
	Scope Scope // scope of an uploaded object
}

// UploadAll uploads every file of the checkpoint in the given scope, and returns
// when all of it has ended. It needs no capability to reuse.
func UploadAll(ctx context.Context, s Session, scope Scope) error {
	t := transfer{session: s}
	return t.run(ctx, func(File) Choice { return Choice{Scope: scope} })
}

// Transfer moves every file of the checkpoint as choose says, and returns when
// all of it has ended. It is what file-based strategies share: only the choice
// differs between them.
func Transfer(ctx context.Context, s Session, choose func(File) Choice) error {
	t := transfer{session: s, reuse: s.Reuse}
	return t.run(ctx, choose)
}

// transfer holds the requests that are not yet accepted and counts those that
// are. The user value of a request is its file id, with the scope in the upper
// half, so that a failed reuse can be turned into an upload.
type transfer struct {
	session Session
	reuse   func([]Reuse) (int, error) // nil when never needed, so that the import is not linked
	uploads []Upload
	reuses  []Reuse
	pending int
	done    [256]Completion
}

func (t *transfer) run(ctx context.Context, choose func(File) Choice) error {
	page := make([]File, 1024)
	for start := 0; ; {
		n, err := t.session.FilesRead(start, page)
		if err != nil {
			return err
		}
		if n == 0 {
			return t.finish(ctx)
		}
		for _, f := range page[:n] {
			t.add(f, choose(f))
		}
		if err := t.submit(ctx); err != nil {
			return err
		}
		start += n
	}
}

// finish waits for what is under way, and for the uploads that replace a reuse
// which failed.
func (t *transfer) finish(ctx context.Context) error {
	for t.pending > 0 {
		if err := t.wait(); err != nil {
			return err
		}
		if err := t.submit(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *transfer) add(f File, c Choice) {
	user := uint64(f.ID) | uint64(c.Scope)<<32
	if c.Reuse {
		t.reuses = append(t.reuses, Reuse{File: f.ID, User: user})
		return
	}
	t.uploads = append(t.uploads, Upload{File: f.ID, Scope: c.Scope, User: user})
}

// submit hands over everything added so far, waiting for room where needed.
func (t *transfer) submit(ctx context.Context) error {
	for len(t.uploads)+len(t.reuses) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		accepted, err := t.offer()
		if err != nil {
			return err
		}
		if accepted > 0 {
			continue
		}
		if err := t.wait(); err != nil {
			return err
		}
	}
	return nil
}

// offer submits what the host has room for and returns how much that was.
func (t *transfer) offer() (accepted int, err error) {
	if len(t.reuses) > 0 {
		n, err := t.reuse(t.reuses)
		if err != nil {
			return 0, err
		}
		t.reuses, accepted = t.reuses[n:], n
	}
	if len(t.uploads) > 0 {
		n, err := t.session.Upload(t.uploads)
		if err != nil {
			return accepted, err
		}
		t.uploads, accepted = t.uploads[n:], accepted+n
	}
	t.pending += accepted
	return accepted, nil
}

func (t *transfer) wait() error {
	n, err := t.session.Wait(t.done[:])
	if err != nil {
		return err
	}
	if n == 0 {
		return stalled()
	}
	t.pending -= n
	for _, c := range t.done[:n] {
		err := c.Err()
		switch {
		case err == nil:
		case c.Op == OpReuse && errors.Is(err, ENOENT):
			t.uploads = append(t.uploads, Upload{File: uint32(c.User), Scope: Scope(c.User >> 32), User: c.User})
		default:
			return t.failure(c)
		}
	}
	return nil
}

// failure names the file of a failed request; the host knows the cause.
func (t *transfer) failure(c Completion) error {
	name, err := t.session.FileName(uint32(c.User))
	if err != nil {
		return c.Err()
	}
	return &Error{Errno: Errno(-c.Status), Text: name + ": " + c.Err().Error()}
}

// stalled is the error of a host that neither accepts requests nor has any under
// way. Without it such a host would keep a strategy busy for ever.
func stalled() error {
	return &Error{EINTERNAL, "the host accepts no request and has none under way"}
}

// ExportAll exports ranges and returns when all of them are stored.
func ExportAll(ctx context.Context, s Session, exports []Export) error {
	done := make([]Completion, 64)
	for pending := 0; pending > 0 || len(exports) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(exports) > 0 {
			n, err := s.Export(exports)
			if err != nil {
				return err
			}
			exports, pending = exports[n:], pending+n
		}
		n, err := s.Wait(done)
		if err != nil {
			return err
		}
		if n == 0 {
			return stalled()
		}
		pending -= n
		for _, c := range done[:n] {
			if err := c.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}
