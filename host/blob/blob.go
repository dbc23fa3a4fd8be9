// Package blob is the seam between rocksnap and the places where it keeps
// snapshots. A [Store] holds immutable objects under names; it has no operation
// that changes one.
//
// That single restriction carries the catalog protocol: a name is taken once,
// for ever, by whoever creates it first.
//
// Packages dir, s3 and mem are stores; package blobtest holds the laws of all
// stores, and package probe finds out whether a provider keeps them. [Prefix],
// [Limit], [Observe] and [Faulty] each add one ability to any store.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Store keeps immutable objects. [CheckName] says what a name is; every method
// refuses anything else with [ErrName]. No name may be a directory of another
// ("a" and "a/b"): a store may or may not be able to hold both.
//
// Implementations are safe for concurrent use. A method that was cancelled
// returns an error for which errors.Is(err, ctx.Err()) holds.
type Store interface {
	// Create stores everything that r yields under a name that is free. The
	// outcomes are:
	//
	//  1. nil: the object is complete and durable, and every List and Open from
	//     now on, by anyone, sees it.
	//  2. fs.ErrExist: the name was taken before; the store is unchanged.
	//  3. [ErrUnknownOutcome]: the object may or may not have been created; the
	//     caller finds out by reading it back.
	//  4. any other error: nothing was created under the name. An error of r is
	//     returned wrapped.
	Create(ctx context.Context, name string, r io.Reader) error

	// Open reads length bytes of an object from an offset; length -1 means to
	// the end. It fails with fs.ErrNotExist when there is no such object, and
	// with fs.ErrInvalid for other negative numbers. Where there are fewer bytes
	// than asked for, or the offset is beyond the end, io.ErrUnexpectedEOF comes
	// after the bytes there are, from Open itself or from the reader.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Stat describes an object, or fails with fs.ErrNotExist.
	Stat(ctx context.Context, name string) (Info, error)

	// List yields every object whose name starts with prefix and sorts after
	// after, in the bytewise order of names. Both may be empty; prefix may end
	// in the middle of a path element. What is created or deleted meanwhile may
	// be missed or seen. The sequence ends with the first error.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// Delete removes objects for good. Removing one that is absent is no error.
	// When a name is invalid nothing is removed; after any other error some of
	// them may be gone, and to repeat the call is harmless.
	Delete(ctx context.Context, names ...string) error

	// Tidy removes what Creates that never came to an end have left behind,
	// invisible to the other methods, when it was last written before a time of
	// the store's clock. A store may have nothing of the kind. A Create that still
	// runs, and is taken for one of them, fails and creates nothing.
	Tidy(ctx context.Context, before time.Time) (Tidied, error)
}

// Tidied counts what [Store.Tidy] removed.
type Tidied struct {
	Uploads int   // unfinished objects
	Bytes   int64 // that they took, where the store tells
}

// Info describes an object.
type Info struct {
	Name     string
	Size     int64     // bytes
	Modified time.Time // by the clock of the store
	CRC32C   *uint32   // of the whole object, as the store itself knows it; nil where it does not say, and in lists
}

// ErrUnknownOutcome reports that a write was sent and no answer came back.
var ErrUnknownOutcome = errors.New("outcome unknown")

// ErrName reports a name that no store accepts.
var ErrName = errors.New("invalid object name")
