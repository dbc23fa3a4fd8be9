package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
)

// emptyModule is the smallest module there is.
const emptyModule = "\x00asm\x01\x00\x00\x00"

// signedFolder is a folder with a module, its signature and the key that made it.
type signedFolder struct{ module, sig, key, public, line string }

func newSignedFolder(t *testing.T) signedFolder {
	t.Helper()
	dir := t.TempDir()
	f := signedFolder{module: filepath.Join(dir, "x.wasm"), sig: filepath.Join(dir, "x.wasm.sig"), key: filepath.Join(dir, "key.pem")}
	require.NoError(t, os.WriteFile(f.module, []byte(emptyModule), 0o644))
	var err error
	f.public, err = CreateSigningKey(f.key)
	require.NoError(t, err)
	f.line, err = SignModule(f.module, f.key)
	require.NoError(t, err)
	return f
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func TestSignModule(t *testing.T) {
	f := newSignedFolder(t)
	text, err := os.ReadFile(f.sig)
	require.NoError(t, err)
	assert.Equal(t, f.line+"\n", string(text))
	assert.True(t, strings.HasPrefix(f.line, "rocksnap-signature-1 "+f.public+" "))
	signer, err := VerifyModule(f.module, []string{"ed25519:" + strings.Repeat("A", 43) + "=", f.public})
	require.NoError(t, err)
	assert.Equal(t, f.public, signer)

	again, err := SignModule(f.module, f.key)
	require.NoError(t, err)
	assert.Equal(t, f.line, again)
	entries, err := os.ReadDir(filepath.Dir(f.module))
	require.NoError(t, err)
	assert.Len(t, entries, 3, "nothing is left over")
	info, err := os.Stat(f.key)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), info.Mode())
}

// TestSignedBytes holds the format to what it is documented to be, with nothing of
// the code that makes it: a key of RFC 8032, and a signature made outside.
func TestSignedBytes(t *testing.T) {
	const digest = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476" // sha256sum of the module
	seed := []byte("rocksnap's test, not a real key.")
	key := ed25519.NewKeyFromSeed(seed)
	public := "ed25519:" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	made := ed25519.Sign(key, []byte("rocksnap plugin signature 1\n"+digest+"\n"))
	path := filepath.Join(t.TempDir(), "x.wasm")
	write(t, path+".sig", "rocksnap-signature-1 "+public+" "+base64.StdEncoding.EncodeToString(made)+"\n")
	signer, err := checkSignature([]byte(emptyModule), path, []string{public})
	require.NoError(t, err)
	assert.Equal(t, public, signer)
}

// TestTampered flips every bit of the module, and of the signature's line: nothing
// but the whole passes.
func TestTampered(t *testing.T) {
	f := newSignedFolder(t)
	for i := range 8 * len(emptyModule) {
		changed := []byte(emptyModule)
		changed[i/8] ^= 1 << (i % 8)
		_, err := checkSignature(changed, f.module, []string{f.public})
		require.ErrorContains(t, err, "the signature is not of this module", "bit %d", i)
	}
	for i := range 8 * len(f.line) {
		changed := []byte(f.line)
		changed[i/8] ^= 1 << (i % 8)
		write(t, f.sig, string(changed))
		_, err := checkSignature([]byte(emptyModule), f.module, []string{f.public})
		require.Error(t, err, "bit %d: %s", i, changed)
		require.Equal(t, CodePlugin, CodeOf(err))
	}
}

func TestUntrusted(t *testing.T) {
	f, other := newSignedFolder(t), newSignedFolder(t)
	signer, err := VerifyModule(f.module, []string{other.public})
	require.EqualError(t, err, "module "+f.module+" is signed by "+f.public+", which is not trusted")
	assert.Empty(t, signer)
	assert.NotEmpty(t, HintOf(err))
	_, err = VerifyModule(f.module, nil)
	require.ErrorContains(t, err, "which is not trusted")

	// The signer's name alone is worth nothing.
	forged := strings.Replace(other.line, other.public, f.public, 1)
	write(t, f.sig, forged+"\n")
	signer, err = VerifyModule(f.module, []string{f.public})
	require.ErrorContains(t, err, "the signature is not of this module")
	assert.Empty(t, signer)
}

// TestSignatureOfAnotherModule swaps the signatures of two modules of one signer.
func TestSignatureOfAnotherModule(t *testing.T) {
	f := newSignedFolder(t)
	second := filepath.Join(filepath.Dir(f.module), "y.wasm")
	write(t, second, emptyModule+"\x00\x02\x01a")
	_, err := SignModule(second, f.key)
	require.NoError(t, err)
	require.NoError(t, os.Rename(second+".sig", f.sig))
	_, err = VerifyModule(f.module, []string{f.public})
	require.EqualError(t, err, f.sig+": the signature is not of this module")
}

// TestSignatureOfSomethingElse signs the digest without the sentence about it, as a
// key might that also signs other things.
func TestSignatureOfSomethingElse(t *testing.T) {
	f := newSignedFolder(t)
	key, err := readSigningKey(f.key)
	require.NoError(t, err)
	digest := bytes.Fields(signed([]byte(emptyModule)))[4]
	for _, what := range [][]byte{digest, []byte(emptyModule), append(digest, '\n')} {
		s := signature{f.public, key.Public().(ed25519.PublicKey), ed25519.Sign(key, what)}
		write(t, f.sig, s.String()+"\n")
		_, err := VerifyModule(f.module, []string{f.public})
		require.ErrorContains(t, err, "the signature is not of this module")
	}
}

func TestMalformedSignature(t *testing.T) {
	f := newSignedFolder(t)
	fields := strings.Split(f.line, " ")
	const malformed, version = "not a signature: ", "the signature is of another version"
	for text, want := range map[string]string{
		"":                                    malformed,
		"\n":                                  malformed,
		f.line + "\r\n":                       malformed,
		f.line + "\n\n":                       malformed,
		f.line + "\n" + f.line:                malformed,
		f.line + " trusted":                   malformed,
		f.line + " ":                          malformed,
		" " + f.line:                          malformed,
		"\ufeff" + f.line:                     malformed,
		f.line[:len(f.line)-4]:                malformed,
		strings.ToUpper(f.line):               malformed,
		f.line + "\x00":                       malformed,
		f.line + "AAAA":                       malformed,
		fields[1]:                             malformed,
		fields[0] + " " + fields[1]:           malformed,
		strings.Replace(f.line, " ", "  ", 1): malformed,
		strings.Replace(f.line, " ", "\t", 1): malformed,
		strings.Replace(f.line, "ed25519:", "rsa:", 1):                             malformed,
		fields[0] + " " + fields[1] + " " + fields[2][:40] + "\n" + fields[2][40:]: malformed,
		strings.Replace(f.line, "signature-1", "signature-2", 1):                   version,
		strings.Replace(f.line, "signature-1", "signature-", 1):                    malformed,
		strings.Repeat(f.line, 1000):                                               "is too large",
	} {
		write(t, f.sig, text)
		_, err := VerifyModule(f.module, []string{f.public})
		require.ErrorContains(t, err, want, "%.200q", text)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
	write(t, f.sig, f.line)
	_, err := VerifyModule(f.module, []string{f.public})
	require.NoError(t, err, "an editor that cuts the end of the line off does no harm")
}

func TestUnsigned(t *testing.T) {
	f := newSignedFolder(t)
	require.NoError(t, os.Remove(f.sig))
	_, err := VerifyModule(f.module, []string{f.public})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "is not signed")
	require.NoError(t, os.Mkdir(f.sig, 0o755))
	_, err = VerifyModule(f.module, []string{f.public})
	require.ErrorContains(t, err, "is a directory")
	require.NotErrorIs(t, err, fs.ErrNotExist, "what cannot be read must not pass for unsigned")
	require.NoError(t, os.Remove(f.sig))
	require.NoError(t, unix.Mkfifo(f.sig, 0o600))
	_, err = VerifyModule(f.module, []string{f.public})
	require.ErrorContains(t, err, "not a signature", "nobody is waited for")
}

func TestSigningKeyRefused(t *testing.T) {
	f := newSignedFolder(t)
	require.NoError(t, os.Remove(f.sig))
	good, err := os.ReadFile(f.key)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	require.NoError(t, err)
	armour := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for text, want := range map[string]string{
		"":                                   "is not in PEM",
		f.public:                             "is not in PEM",
		armour("PRIVATE KEY", der):           "is not an ed25519 key",
		armour("PRIVATE KEY", []byte("x")):   "is not a private key in PKCS#8",
		armour("EC PRIVATE KEY", der):        "must hold one private key",
		armour("PUBLIC KEY", der):            "must hold one private key",
		armour("ENCRYPTED PRIVATE KEY", der): "is encrypted",
		string(good) + string(good):          "must hold one private key",
		strings.Repeat("x", maxKeyFile+1):    "is too large",
	} {
		write(t, f.key, text)
		_, err := SignModule(f.module, f.key)
		require.ErrorContains(t, err, want)
		require.Equal(t, CodeKey, CodeOf(err))
		require.NoFileExists(t, f.sig)
	}
	_, err = SignModule(f.module, filepath.Join(t.TempDir(), "none.pem"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, CodeKey, CodeOf(err))
}

func TestSigningKeyIsNeverOverwritten(t *testing.T) {
	f := newSignedFolder(t)
	before, err := os.ReadFile(f.key)
	require.NoError(t, err)
	_, err = CreateSigningKey(f.key)
	require.ErrorIs(t, err, fs.ErrExist)
	after, err := os.ReadFile(f.key)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestOnlyModulesAreSigned(t *testing.T) {
	f := newSignedFolder(t)
	require.NoError(t, os.Remove(f.sig))
	write(t, f.module, "version = 1\n")
	_, err := SignModule(f.module, f.key)
	require.ErrorContains(t, err, "sign "+f.module)
	require.Equal(t, CodePlugin, CodeOf(err))
	require.NoFileExists(t, f.sig)
}

// TestOpenSSL signs with a key of OpenSSL, and has OpenSSL verify it.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	f := newSignedFolder(t)
	dir := filepath.Dir(f.module)
	run := func(args ...string) {
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "openssl %v: %s", args, out)
	}
	run("genpkey", "-algorithm", "ed25519", "-out", "theirs.pem")
	run("pkey", "-in", "theirs.pem", "-pubout", "-out", "public.pem")
	line, err := SignModule(f.module, filepath.Join(dir, "theirs.pem"))
	require.NoError(t, err)
	s, err := parseSignature(line)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "public.pem"))
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	assert.Equal(t, config.FormatKey(public.(ed25519.PublicKey)), s.signer)

	write(t, filepath.Join(dir, "sentence"), string(signed([]byte(emptyModule))))
	write(t, filepath.Join(dir, "raw"), string(s.bytes))
	run("pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "sentence", "-sigfile", "raw")
	run("pkey", "-in", "key.pem", "-noout") // and it reads ours
}

// FuzzSignature checks that whatever is accepted is written in the one way there
// is, and that nothing is good by chance.
func FuzzSignature(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	line := sign(key, []byte(emptyModule)).String()
	for _, text := range []string{line, line + "\n", line + "\r\n", strings.Replace(line, "-1", "-2", 1), line[:40], ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSignature(text)
		if err != nil {
			return
		}
		require.Equal(t, strings.TrimSuffix(text, "\n"), s.String())
		good := ed25519.Verify(s.key, signed([]byte(emptyModule)), s.bytes)
		require.Equal(t, s.String() == line, good && s.key.Equal(key.Public()))
	})
}
