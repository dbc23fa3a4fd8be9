package wasm

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"sync"
)

//go:embed *.go
var sources embed.FS

// Revision names what [Check] and [Instrument] do, for those who keep what was made
// of a module that passed. It is the digest of this package's own text: a number
// that somebody has to raise would be forgotten when a check is added.
var Revision = sync.OnceValue(func() string {
	h := sha256.New()
	names, _ := fs.Glob(sources, "*.go") // sorted; the pattern is valid
	for _, name := range names {
		text, _ := sources.ReadFile(name) // cannot fail
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
})
