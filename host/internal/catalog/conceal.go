package catalog

import (
	"errors"
	"fmt"
	"slices"
)

// secret is the part of a manifest that is encrypted: what tells of the content
// of the database. The rest, which stays readable, is what the host needs that
// takes the next snapshot or prunes, and that has no private key: identities,
// objects, sizes, digests of what is stored, and the strategy's state.
type secret struct {
	Families      []Family          `json:"column_families"`
	Options       string            `json:"options,omitempty"`
	ContentDigest string            `json:"content_digest,omitempty"`
	Meta          map[string][]byte `json:"meta,omitempty"`
	Files         []secretFile      `json:"files"` // one for each of Contents
}

type secretFile struct {
	Family      string `json:"column_family,omitempty"`
	SmallestKey []byte `json:"smallest_key,omitempty"`
	LargestKey  []byte `json:"largest_key,omitempty"`
}

// Conceal returns the manifest with everything encrypted that tells of the content
// of the database. keys names the recipients; seal encrypts for them.
func (m *Manifest) Conceal(keys string, seal func([]byte) ([]byte, error)) (*Manifest, error) {
	s := secret{Families: m.Families, Options: m.Options, ContentDigest: m.ContentDigest, Meta: m.Meta}
	veiled := *m
	veiled.Keys, veiled.Families, veiled.Options, veiled.ContentDigest, veiled.Meta = keys, nil, "", "", nil
	veiled.Contents = slices.Clone(m.Contents)
	for i := range veiled.Contents {
		f := &veiled.Contents[i]
		s.Files = append(s.Files, secretFile{f.Family, f.SmallestKey, f.LargestKey})
		f.Family, f.SmallestKey, f.LargestKey = "", nil, nil
	}
	plain, err := pack(&s)
	if err == nil {
		veiled.Sealed, err = seal(plain)
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt manifest: %w", err)
	}
	return &veiled, nil
}

// Concealed says whether a part of the manifest is still encrypted.
func (m *Manifest) Concealed() bool { return m.Sealed != nil }

// Reveal decrypts what Conceal has encrypted. It returns the error of unseal as it
// is, and [ErrDamaged] when that yields something else than Conceal gave.
func (m *Manifest) Reveal(unseal func([]byte) ([]byte, error)) error {
	if !m.Concealed() {
		return nil
	}
	plain, err := unseal(m.Sealed)
	if err != nil {
		return err
	}
	var s secret
	err = unpack(plain, &s)
	if err == nil && len(s.Files) != len(m.Contents) {
		err = errors.New("its files are not those of the manifest")
	}
	if err != nil {
		return &DamageError{"the encrypted part of snapshot " + m.ID, err.Error()}
	}
	m.Families, m.Options, m.ContentDigest, m.Meta = s.Families, s.Options, s.ContentDigest, s.Meta
	for i, f := range s.Files {
		m.Contents[i].Family, m.Contents[i].SmallestKey, m.Contents[i].LargestKey = f.Family, f.SmallestKey, f.LargestKey
	}
	m.Sealed = nil
	return blame("snapshot "+m.ID, m.validateDetail())
}
