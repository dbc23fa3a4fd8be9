package host

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/secret"
)

// keys are those of an encrypted repository: the public ones to take snapshots
// with, and the private one, which is read from its file only when something is to
// be decrypted. Most hosts have no such file, and need none.
type keys struct {
	recipients *secret.Recipients // nil when nothing is encrypted
	identities func() (*secret.Identities, error)
}

func newKeys(c config.Encryption) (*keys, error) {
	k := &keys{identities: sync.OnceValues(func() (*secret.Identities, error) { return readIdentities(c.IdentityFile) })}
	if len(c.Recipients) == 0 {
		return k, nil
	}
	var err error
	if k.recipients, err = secret.ParseRecipients(c.Recipients); err != nil {
		return nil, problem(CodeUsage, fmt.Errorf("[repository.encryption] recipients: %w", err), "'age-keygen -y key.txt' prints the public key of a private one")
	}
	return k, nil
}

// id names the set of recipients; "" when nothing is encrypted.
func (k *keys) id() string {
	if k.recipients == nil {
		return ""
	}
	return k.recipients.ID()
}

const keyHint = "name the file of the private key in [repository.encryption] identity_file; without it the data cannot be had back"

func readIdentities(path string) (*secret.Identities, error) {
	if path == "" {
		return nil, problem(CodeKey, errors.New("the repository is encrypted, and no private key is given"), keyHint)
	}
	identities, err := secret.ReadIdentities(path)
	if err != nil {
		return nil, problem(CodeKey, err, keyHint)
	}
	return identities, nil
}

// match refuses keys that do not go with the repository: to store one plain file
// in an encrypted one, or the reverse, is nothing that anybody would notice.
func (k *keys) match(f catalog.Format, writes bool) error {
	switch {
	case f.Encrypted && k.recipients == nil && writes:
		return problem(CodeKey, errors.New("the repository is encrypted, and no recipients are given"),
			"name the public keys in [repository.encryption] recipients")
	case !f.Encrypted && k.recipients != nil:
		return problem(CodeUsage, errors.New("[repository.encryption] names recipients, and the repository is not encrypted"),
			"remove the table, or make a new repository with it and 'rocksnap copy' the snapshots there")
	}
	return nil
}

// encrypt returns a reader of the stored form of what r yields.
func (k *keys) encrypt(r io.Reader) (io.Reader, error) {
	if k.recipients == nil {
		return r, nil
	}
	return k.recipients.EncryptReader(r)
}

// conceal encrypts the part of a manifest that tells of the database.
func (k *keys) conceal(m *Manifest) (*Manifest, error) {
	if k.recipients == nil {
		return m, nil
	}
	return m.Conceal(k.id(), k.recipients.Seal)
}

// reveal decrypts it again.
func (k *keys) reveal(m *Manifest) error {
	if !m.Concealed() {
		return nil
	}
	identities, err := k.identities()
	if err == nil {
		err = m.Reveal(identities.Unseal)
	}
	return keyProblem(fmt.Sprintf("decrypt snapshot %s", m.ID), err)
}

// keyProblem explains why something could not be decrypted.
func keyProblem(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, secret.ErrNoKey):
		return problem(CodeKey, fmt.Errorf("%s: %w", what, err), "the key in [repository.encryption] identity_file is not the one that it was encrypted for")
	case errors.Is(err, secret.ErrTampered), errors.Is(err, catalog.ErrDamaged):
		return problem(CodeDamaged, fmt.Errorf("%s: %w", what, err), "'rocksnap verify --level data' lists every snapshot that is affected")
	}
	return fmt.Errorf("%s: %w", what, err)
}
