package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// A signature lies beside the module, in a file of one line:
//
//	rocksnap-signature-1 ed25519:PUBLIC-KEY SIGNATURE
//
// Both are in base64. What is signed is not the digest alone but a sentence about
// it, so that the key's signature under anything else never passes for one of a
// module.
const (
	signatureSuffix  = ".sig"
	signatureFormat  = "rocksnap-signature-"
	signatureVersion = signatureFormat + "1"
	signedSentence   = "rocksnap plugin signature 1\n%s\n" // of the sha256 in hex
)

// maxKeyFile bounds what is read of a file of a key or a signature, in bytes.
const maxKeyFile = 64 << 10

const signHint = "'rocksnap plugin sign --key key.pem' signs the module as it is now"

// signed returns the bytes that a signature of a module is made of.
func signed(module []byte) []byte {
	sum := sha256.Sum256(module)
	return fmt.Appendf(nil, signedSentence, hex.EncodeToString(sum[:]))
}

// signature is a line of a file, taken apart.
type signature struct {
	signer string // as [config.ParseKey] reads it
	key    ed25519.PublicKey
	bytes  []byte
}

// String returns the line without its end.
func (s signature) String() string {
	return signatureVersion + " " + s.signer + " " + base64.StdEncoding.EncodeToString(s.bytes)
}

// parseSignature accepts what String returns, with or without the end of a line,
// and nothing else: there is one way to write a signature.
func parseSignature(text string) (signature, error) {
	line := strings.TrimSuffix(text, "\n")
	fields := strings.Split(line, " ")
	version := strings.TrimPrefix(fields[0], signatureFormat)
	if _, err := strconv.ParseUint(version, 10, 31); err == nil && fields[0] != signatureVersion {
		return signature{}, fmt.Errorf("the signature is of another version than %q", signatureVersion)
	}
	malformed := fmt.Errorf(`not a signature: must be one line as in "%s ed25519:… …"`, signatureVersion)
	if len(fields) != 3 {
		return signature{}, malformed
	}
	key, err := config.ParseKey(fields[1])
	code, errCode := base64.StdEncoding.DecodeString(fields[2])
	s := signature{fields[1], key, code}
	if err != nil || errCode != nil || len(code) != ed25519.SignatureSize || s.String() != line {
		return signature{}, malformed
	}
	return s, nil
}

// checkSignature reads the signature beside a module's path and checks it against
// the very bytes that were read from there. It returns the signer's public key.
// Outcomes:
//
//  1. The signature is good and its key is one of keys.
//  2. There is no signature: the error is fs.ErrNotExist.
//  3. It is not readable, malformed, of other bytes, or of a key that is not
//     trusted: an error that says which.
func checkSignature(file []byte, path string, keys []string) (signer string, err error) {
	text, err := readSmall(path + signatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", problem(CodePlugin, fmt.Errorf("module %s is not signed: %w", path, err), signHint)
	}
	if err != nil {
		return "", problem(CodePlugin, fmt.Errorf("read signature: %w", err), "")
	}
	s, err := parseSignature(string(text))
	if err != nil {
		return "", problem(CodePlugin, fmt.Errorf("%s: %w", path+signatureSuffix, err), signHint)
	}
	if !ed25519.Verify(s.key, signed(file), s.bytes) {
		return "", problem(CodePlugin, fmt.Errorf("%s: the signature is not of this module", path+signatureSuffix),
			"the module or its signature was changed or mixed up: restore both")
	}
	if !slices.Contains(keys, s.signer) {
		return "", problem(CodePlugin, fmt.Errorf("module %s is signed by %s, which is not trusted", path, s.signer),
			"trust whoever has this key by adding it to keys in [plugins] or in the strategy's table")
	}
	return s.signer, nil
}

// readSmall reads a file that has no reason to be large. It does not wait for
// somebody to write to a pipe.
func readSmall(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("%s is too large", path)
	}
	return text, err
}

// VerifyModule checks the signature that lies beside the module in a file, and
// returns the signer: that of keys, each as [config.ParseKey] reads it, that made
// it. The module is searched for as [InspectModule] does. Without a signature the error is fs.ErrNotExist.
func VerifyModule(module string, keys []string) (signer string, err error) {
	module, file, err := findModule(module)
	if err != nil {
		return "", err
	}
	return checkSignature(file, module, keys)
}

// SignModule signs the module in a file with the private key in another, PKCS#8 in
// PEM, and writes the signature beside the module, in place of one that is there.
// It returns what it wrote. The module is searched for as [InspectModule] does; what is no module
// is not signed.
func SignModule(module, key string) (signature string, err error) {
	private, err := readSigningKey(key)
	if err != nil {
		return "", problem(CodeKey, fmt.Errorf("signing key: %w", err), "'rocksnap plugin keygen' makes a key")
	}
	module, file, err := findModule(module)
	if err != nil {
		return "", err
	}
	if _, err := strategy.Inspect(file); err != nil {
		return "", problem(CodePlugin, fmt.Errorf("sign %s: %w", module, err), "name a WebAssembly module")
	}
	line := sign(private, file).String()
	if err := replace(module+signatureSuffix, line+"\n"); err != nil {
		return "", fmt.Errorf("write signature: %w", err)
	}
	return line, nil
}

func sign(key ed25519.PrivateKey, module []byte) signature {
	public := key.Public().(ed25519.PublicKey) // what an ed25519.PrivateKey always has
	return signature{config.FormatKey(public), public, ed25519.Sign(key, signed(module))}
}

// replace gives a path new content at once: whoever reads it meets the old or the
// new.
func replace(path, content string) error {
	next := filepath.Join(filepath.Dir(path), "."+rand.Text()+".tmp")
	err := durable.CreateFile(next, 0o644, func(w io.Writer) error { _, err := io.WriteString(w, content); return err })
	if err != nil {
		return err
	}
	err = durable.Rename(next, path)
	if err != nil && !errors.Is(err, durable.ErrUnsynced) {
		_ = durable.Remove(next) // err says what matters
	}
	return err
}

// readSigningKey reads a private key. Its errors repeat nothing of it.
func readSigningKey(path string) (ed25519.PrivateKey, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%s is not in PEM", path)
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%s is encrypted: decrypt it first, as with 'openssl pkey'", path)
	case block.Type != pemPrivateKey || len(strings.TrimSpace(string(rest))) > 0:
		return nil, fmt.Errorf("%s must hold one private key in PKCS#8 and nothing else", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not a private key in PKCS#8", path)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an ed25519 key", path)
	}
	return key, nil
}

const pemPrivateKey = "PRIVATE KEY"

// CreateSigningKey writes a new key to a file that is this user's alone, as
// [NewSigningKey] does, and returns the public one. It never overwrites: where a
// file is, the error is fs.ErrExist.
func CreateSigningKey(path string) (public string, err error) {
	err = durable.WriteFile(path, 0o600, func(w io.Writer) (err error) {
		public, err = NewSigningKey(w)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return "", problem(CodeUsage, fmt.Errorf("write signing key: %s: %w", path, fs.ErrExist), "name another file: a key is never overwritten")
	}
	if err != nil {
		return "", fmt.Errorf("write signing key: %w", err)
	}
	return public, nil
}

// NewSigningKey makes a key to sign modules with. It writes the private one to w,
// PKCS#8 in PEM, and returns the public one as [config.ParseKey] reads it.
func NewSigningKey(w io.Writer) (public string, err error) {
	key, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", fmt.Errorf("make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", fmt.Errorf("make signing key: %w", err)
	}
	if err := pem.Encode(w, &pem.Block{Type: pemPrivateKey, Bytes: der}); err != nil {
		return "", fmt.Errorf("write signing key: %w", err)
	}
	return config.FormatKey(key), nil
}
