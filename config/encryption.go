package config

import "strings"

// Encryption names the keys for encryption at rest. A host that takes snapshots
// needs the recipients, one that restores them needs the identity file.
type Encryption struct {
	Recipients   []string // public keys, of age or SSH, each of which can decrypt; none when nothing is encrypted
	IdentityFile string   // file of the secret key; it may be missing until a restore
}

// secretKey starts a secret key of age, in whatever case.
const secretKey = "AGE-SECRET-KEY-"

const identityHint = "keep the secret key in a file of its own, named by identity_file; a recipient is the public key, which starts with age1"

// checkEncryption goes by the looks of keys only: whether they are keys is for
// the host to say.
func (l *loader) checkEncryption() {
	e := l.config.Repository.Encryption
	recipients, identity := dotted("repository.encryption.recipients"), dotted("repository.encryption.identity_file")
	for i, r := range e.Recipients {
		switch {
		case holdsKey(r):
			l.wrong(recipients, identityHint, "item %d is a secret key", i+1)
		case !strings.HasPrefix(r, "age1"):
			l.wrong(recipients, "'age-keygen -o key.txt' makes a pair of keys and prints the public one", "item %d must be a public key of age, which starts with age1", i+1)
		}
	}
	if holdsKey(e.IdentityFile) {
		l.wrong(identity, identityHint, "must name a file, not be a secret key")
	}
	if l.given(recipients) && len(e.Recipients) == 0 {
		l.wrong(recipients, "leave the key out on a host that only restores", "must name at least one")
	}
	if _, named := l.places["repository.encryption"]; named && len(e.Recipients) == 0 && e.IdentityFile == "" && !l.bad[identity.String()] {
		l.wrong(recipients, `add recipients = ["age1…"], or identity_file = "key.txt" on a host that only restores`, "missing: encryption needs a key")
	}
}

// holdsKey reports whether text looks like a secret key and not like a path or a
// public key: one of age, or whatever is in the armour of PEM.
func holdsKey(text string) bool {
	text = strings.ToUpper(text)
	return strings.Contains(text, secretKey) || strings.Contains(text, "-----BEGIN")
}
