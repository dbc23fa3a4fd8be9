package secret

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"filippo.io/age"
)

// Identities are private keys. A nil *Identities holds none, and opens nothing.
// They are safe for concurrent use.
type Identities struct {
	keys    []age.Identity
	warning string
}

// ReadIdentities reads a file as age-keygen writes it: one private key a line,
// empty lines and lines that begin with # aside. It fails with the error of the
// file system, and for a file that is protected by a passphrase, as nobody is
// there to type it when a snapshot is restored by a script. No error shows
// anything of a key.
func ReadIdentities(path string) (*Identities, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	defer f.Close()
	keys, err := parseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("read identities of %q: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	return &Identities{keys: keys, warning: exposure(path, info.Mode())}, nil
}

func parseIdentities(r io.Reader) ([]age.Identity, error) {
	file := bufio.NewReader(r)
	start, _ := file.Peek(64) // an error comes again with the first read
	switch {
	case bytes.HasPrefix(start, []byte("age-encryption.org/")), bytes.HasPrefix(start, []byte("-----BEGIN AGE ")):
		return nil, errors.New("it is encrypted: decrypt it first with \"age --decrypt\", to a file that only its owner can read")
	case bytes.HasPrefix(start, []byte("-----BEGIN ")):
		return nil, errors.New("it is no identity file of age: keys of SSH are not taken")
	}
	keys, err := age.ParseIdentities(file)
	if err != nil {
		return nil, fmt.Errorf("it is no identity file of age, with lines as AGE-SECRET-KEY-1…: %w", err)
	}
	return keys, nil
}

// exposure is a warning and no error: the mode of a secret that is mounted into
// a container is often not the user's to choose.
func exposure(path string, mode fs.FileMode) string {
	if mode.Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("everyone on this machine can read the private keys in %q (mode %#o)", path, mode.Perm())
}

// Warning says what is wrong with the place where the keys were found, or
// nothing.
func (i *Identities) Warning() string {
	if i == nil {
		return ""
	}
	return i.warning
}

// Decrypt returns a reader of the plain form of what src yields. Each byte that
// it yields is authentic; that none is missing at the end is known at io.EOF.
// Both it and the reader fail with [ErrNoKey], [ErrTampered], or the error of src.
func (i *Identities) Decrypt(src io.Reader) (io.Reader, error) {
	if i == nil || len(i.keys) == 0 {
		return nil, fmt.Errorf("%w: no identity was given", ErrNoKey)
	}
	plain, err := age.Decrypt(&source{r: src}, i.keys...)
	if err != nil {
		return nil, explain(err)
	}
	return &reader{plain: plain}, nil
}

// Unseal decrypts what Seal, or an EncryptReader, made of data that fits in
// memory. It fails as Decrypt does.
func (i *Identities) Unseal(encrypted []byte) ([]byte, error) {
	plain, err := i.Decrypt(bytes.NewReader(encrypted))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// OpenAt opens encrypted data of a known size in bytes for reading anywhere, and
// returns the size of its plain form, which is then proven. It reads the header
// and the last chunk at once, and later only the chunks of 64 KiB that are asked
// for, one at a time, each by one ReadAt of src: where that is slow, let src read
// ahead. It fails as Decrypt does; so do reads, which may run concurrently.
func (i *Identities) OpenAt(src io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if i == nil || len(i.keys) == 0 {
		return nil, 0, fmt.Errorf("%w: no identity was given", ErrNoKey)
	}
	plain, length, err := age.DecryptReaderAt(&sourceAt{r: src}, size, i.keys...)
	if err != nil {
		return nil, 0, explain(err)
	}
	return &readerAt{plain: plain, size: length}, length, nil
}
