package catalog

import (
	"errors"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

// ErrDamaged reports stored bytes that are not what was stored. It always comes
// inside a [DamageError], and is [abi.ECORRUPT] as well.
var ErrDamaged error = &abi.Error{Errno: abi.ECORRUPT, Text: "damaged"}

// ErrVersion reports a document that this version cannot read.
var ErrVersion = errors.New("written by a newer rocksnap")

// ErrNoRepository reports a store without a format document.
var ErrNoRepository = errors.New("no repository")

// ErrAmbiguous reports a shortened id that several snapshots share.
var ErrAmbiguous = errors.New("ambiguous")

// ErrFenced reports that a writer was replaced by a newer one. It always comes
// inside a [FencedError].
var ErrFenced = errors.New("fenced")

// DamageError names a damaged object of the catalog.
type DamageError struct {
	Object string // name in the store
	What   string // what does not fit
}

// Error returns a line that names the object.
func (e *DamageError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Object, e.What) }

// Unwrap returns [ErrDamaged].
func (e *DamageError) Unwrap() error { return ErrDamaged }

// Owner is the process behind a [Writer]. It is for people to read and decides
// nothing.
type Owner struct {
	Host string `json:"host"`
	PID  int    `json:"pid"`
}

// String returns the owner as it stands in messages.
func (o Owner) String() string {
	if o.Host == "" {
		return "an unknown process"
	}
	return fmt.Sprintf("process %d on %s", o.PID, o.Host)
}

// FencedError says who was replaced, and by whom.
type FencedError struct {
	Epoch   uint64 // of the stale writer
	Owner   Owner
	ByEpoch uint64 // of the writer that came after it
	By      Owner
}

// Error returns a line that names both epochs.
func (e *FencedError) Error() string {
	return fmt.Sprintf("fenced: epoch %d of %s was replaced by epoch %d of %s", e.Epoch, e.Owner, e.ByEpoch, e.By)
}

// Unwrap returns [ErrFenced].
func (e *FencedError) Unwrap() error { return ErrFenced }
