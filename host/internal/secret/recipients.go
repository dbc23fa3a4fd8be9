package secret

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/zeebo/blake3"
)

// Recipients is a set of public keys. What is encrypted to the set can be
// decrypted with the identity of any one of them. It is safe for concurrent use.
type Recipients struct {
	keys []age.Recipient
	id   string
}

// ParseRecipients reads the public keys of age itself: X25519 ("age1…") or
// post-quantum ("age1pq1…"), all of one sort, as one key of the weaker sort would
// take the strength of the others away. An empty list gives an empty set. Errors
// number the recipients from 1, and never show what might be a private key.
func ParseRecipients(list []string) (*Recipients, error) {
	var keys []age.Recipient
	var names []string
	for i, text := range list {
		key, err := parseRecipient(text)
		if err != nil {
			return nil, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		name := key.String()
		if first := slices.Index(names, name); first >= 0 {
			return nil, fmt.Errorf("recipient %d: is the same as recipient %d", i+1, first+1)
		}
		keys, names = append(keys, key), append(names, name)
	}
	if err := usable(keys); err != nil {
		return nil, err
	}
	return &Recipients{keys: keys, id: nameSet(names)}, nil
}

// publicKey is what age's own recipients have in common.
type publicKey interface {
	age.Recipient
	fmt.Stringer // its one canonical form
}

func parseRecipient(text string) (publicKey, error) {
	var key publicKey
	var err error
	upper := strings.ToUpper(text)
	switch {
	case strings.Contains(upper, "AGE-SECRET-KEY-"), strings.Contains(upper, "AGE-PLUGIN-"), strings.Contains(upper, "PRIVATE KEY-"):
		return nil, errors.New("is a private key: treat it as known to everyone who could read it, make a new one, " +
			"and name the public key that belongs to that, as in age1…")
	case strings.HasPrefix(text, "ssh-"):
		return nil, errors.New("is a key of SSH: only age's own keys are taken, as in age1…")
	case strings.HasPrefix(text, "age1pq1"):
		key, err = age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1"):
		key, err = age.ParseX25519Recipient(text)
	default:
		return nil, errors.New("is no public key of age, as in age1… or age1pq1…")
	}
	if err != nil { // age's error repeats the key, which may be 2000 characters long
		return nil, fmt.Errorf("%.16q… is no public key of age, or it was cut or mistyped", text)
	}
	return key, nil
}

// usable tries the set once, so that a set which age refuses is an error at the
// start, and not of the first file.
func usable(keys []age.Recipient) error {
	if len(keys) == 0 {
		return nil
	}
	if _, err := age.Encrypt(io.Discard, keys...); err != nil {
		return fmt.Errorf("try recipients: %w", err)
	}
	return nil
}

// nameSet must stay as it is for ever: manifests hold its results.
func nameSet(names []string) string {
	if len(names) == 0 {
		return ""
	}
	sum := blake3.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(names)), "\n")))
	return hex.EncodeToString(sum[:16])
}

// ID names the set, whatever its order: 32 hex digits, the beginning of the
// BLAKE3 of the sorted public keys. It is "" for the empty set.
func (r *Recipients) ID() string { return r.id }

// EncryptReader returns a reader of the encrypted form of what src yields. It
// reads no further ahead than one chunk of 64 KiB, and may be abandoned at any
// time. An error of src comes back as it is. An empty set encrypts nothing: that
// is an error.
func (r *Recipients) EncryptReader(src io.Reader) (io.Reader, error) {
	encrypted, err := age.EncryptReader(src, r.keys...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return encrypted, nil
}

// Seal encrypts a piece of data that fits in memory, as EncryptReader does.
func (r *Recipients) Seal(plain []byte) ([]byte, error) {
	encrypted, err := r.EncryptReader(bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(encrypted)
}
