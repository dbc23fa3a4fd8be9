package sink

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// RunFile is the file of a run that has one, for kinds of databases that have no
// format of their own for it.
type RunFile struct {
	*os.File
	done bool
}

// NewRunFile creates a file in dir; its name ends with extension.
func NewRunFile(dir, extension string) (*RunFile, error) {
	r := &RunFile{}
	path := filepath.Join(dir, rand.Text()+extension)
	err := durable.Change("create", path, func() (err error) {
		r.File, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		return err
	})
	return r, err
}

// Finish makes the file durable and returns its path, as [Run.Finish] does.
func (r *RunFile) Finish() (files []string, err error) {
	if err := durable.Change("sync", r.Name(), r.Sync); err != nil {
		return nil, err
	}
	r.done = true
	return []string{r.Name()}, nil
}

// Close closes the file, and removes it unless it is finished. Further times it
// does nothing.
func (r *RunFile) Close() error {
	err := r.File.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	if !r.done {
		err = errors.Join(err, durable.Remove(r.Name()))
	}
	return err
}
