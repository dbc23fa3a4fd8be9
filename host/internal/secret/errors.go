package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"filippo.io/age"
)

// ErrNoKey reports that none of the identities opens the data. The format cannot
// tell that from damage to the few bytes that hold the wrapped key: where the
// digest of the stored bytes is known to be wrong, it is damage.
var ErrNoKey = errors.New("no key opens it")

// ErrTampered reports that the data is not what was encrypted: it was changed,
// cut short or made longer, or it is something else altogether.
var ErrTampered = errors.New("encrypted data is damaged or was tampered with")

// explain sorts an error of age. It has no types for damage, so damage is what
// is neither a missing key nor an error of the source. Its text may quote a long
// line of the damaged header.
func explain(err error) error {
	var failed *sourceError
	var mismatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &failed):
		return failed.err
	case errors.As(err, &mismatch):
		return fmt.Errorf("%w: it has %d recipients, and none of %d identities is among them",
			ErrNoKey, len(mismatch.StanzaTypes), len(mismatch.Errors))
	default:
		return fmt.Errorf("%w: %.200s", ErrTampered, err)
	}
}

// sourceError marks an error of the encrypted source on its way through age, so
// that a lost connection is not taken for damage.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// mark leaves io.EOF alone, which is how age knows the end.
func mark(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &sourceError{err}
}

// source is an encrypted stream. An error stays: age asks again where it has read
// ahead, and a reader that then says io.EOF would make a failure look like an end.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.err == nil {
		n, err = s.r.Read(p)
		s.err = mark(err)
	}
	return n, s.err
}

// sourceAt is an encrypted source that is read anywhere.
type sourceAt struct{ r io.ReaderAt }

func (s *sourceAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	return n, mark(err)
}

// reader is a decrypted stream.
type reader struct{ plain io.Reader }

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.plain.Read(p)
	if err != nil && err != io.EOF {
		err = explain(err)
	}
	return n, err
}

// readerAt is decrypted data that is read anywhere. It looks at the offset
// itself: to age one beyond the end is an error like any other.
type readerAt struct {
	plain io.ReaderAt
	size  int64
}

func (r *readerAt) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, fmt.Errorf("read at %d: %w", off, fs.ErrInvalid)
	case off >= r.size:
		return 0, io.EOF
	}
	n, err := r.plain.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = explain(err)
	}
	return n, err
}
