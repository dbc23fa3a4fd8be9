package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"github.com/BurntSushi/toml"
)

// Plugins says what holds for the modules of all strategies.
type Plugins struct {
	// Memory bounds the memories of all instances of the process together, 64MiB
	// or more; 1GiB unless given.
	Memory Size

	// Keys are the signers that are trusted for every strategy, each as
	// [ParseKey] reads it.
	Keys []string

	// RequireSignature refuses a module without the signature of a trusted key, unless
	// it is one that comes with rocksnap.
	RequireSignature bool
}

const leastBudget Size = 64 << 20

// keyPrefix names the kind of a key, so that there can be others one day.
const keyPrefix = "ed25519:"

// ParseKey reads a public key as it stands in the file: "ed25519:" and the 32
// bytes of the key in base64. Its error never repeats the text, which may be a
// secret key.
func ParseKey(text string) (ed25519.PublicKey, error) {
	if holdsKey(text) {
		return nil, refuse("is a secret key")
	}
	code, ok := strings.CutPrefix(text, keyPrefix)
	key, err := base64.StdEncoding.DecodeString(code)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize || FormatKey(key) != text {
		return nil, refuse(`must be "%s" and the 32 bytes of a public key in base64`, keyPrefix)
	}
	return key, nil
}

// FormatKey writes a public key as [ParseKey] reads it.
func FormatKey(key ed25519.PublicKey) string {
	return keyPrefix + base64.StdEncoding.EncodeToString(key)
}

func (l *loader) checkKeys(key toml.Key, keys []string) {
	for i, text := range keys {
		if _, err := ParseKey(text); err != nil {
			l.wrong(key, "'rocksnap plugin keygen' makes a pair of keys and prints the public one", "item %d %v", i+1, err)
		}
	}
}

func (l *loader) checkPlugins() {
	p := l.config.Plugins
	atLeast(l, dotted("plugins.memory"), p.Memory, leastBudget)
	l.checkKeys(dotted("plugins.keys"), p.Keys)
	if p.RequireSignature && !l.anyKey() {
		l.wrong(dotted("plugins.require_signature"), `add keys = ["ed25519:…"]`, "no module can be signed: there are no trusted keys")
	}
}

func (l *loader) anyKey() bool {
	for _, s := range l.strategies {
		if len(s.Keys) > 0 {
			return true
		}
	}
	return len(l.config.Plugins.Keys) > 0
}
