package secret

import (
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two public keys that were made for this test, whose private halves are gone.
const (
	publicA = "age149l2suhz2yzknl90ut29k60l5dv5y2u30qrzes8w23a4g28x7y0slykhsf"
	publicB = "age1atcf7fvg4dvk40nv40442rv3fawlzhathfsrexwycj5ek34ys4qq2aj3d6"
)

// Manifests hold these names, so they must not change.
func TestSetID(t *testing.T) {
	for want, list := range map[string][]string{
		"":                                 nil,
		"391d558892e6f703aa16c45095825d29": {publicA},
		"e296d980e4971893a22c22e9060b304f": {publicB, publicA},
	} {
		set, err := ParseRecipients(list)
		require.NoError(t, err)
		assert.Equal(t, want, set.ID())
		slices.Reverse(list)
		set, err = ParseRecipients(list)
		require.NoError(t, err)
		assert.Equal(t, want, set.ID(), "the order does not count")
	}
}

func TestEmptySetEncryptsNothing(t *testing.T) {
	set, err := ParseRecipients(nil)
	require.NoError(t, err)
	_, err = set.Seal([]byte("plain"))
	assert.EqualError(t, err, "encrypt: no recipients specified")
}

func TestRefusedRecipients(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	strong := hybrid.Recipient().String()
	for _, test := range []struct {
		want string
		list []string
	}{
		{"recipient 1: is no public key of age, as in age1… or age1pq1…", []string{""}},
		{"recipient 2: is no public key of age, as in", []string{publicA, "alice"}},
		{"recipient 1: is no public key of age, as in", []string{strings.ToUpper(publicA)}},
		{`recipient 1: "` + publicA[:16] + `"… is no public key of age, or it was cut or mistyped`, []string{publicA[:40]}},
		{`recipient 1: "` + strong[:16] + `"… is no public key of age, or`, []string{strong[:1900]}},
		{`recipient 1: "age1yubikey1qgg0"… is no public key`, []string{"age1yubikey1qgg0aaaa"}},
		{"recipient 1: is a key of SSH: only age's own keys", []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA alice@example.com"}},
		{"recipient 3: is the same as recipient 1", []string{publicA, publicB, publicA}},
		{"try recipients: incompatible recipients: can't mix post-quantum and classic recipients", []string{publicA, strong}},
	} {
		_, err := ParseRecipients(test.list)
		require.ErrorContains(t, err, test.want)
		assert.Less(t, len(err.Error()), 200)
	}
}

// A private key where a public one belongs is named as what it is, and not shown.
func TestPrivateKeyAsRecipient(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	for _, private := range []string{newKey(t).String(), hybrid.String(), "AGE-PLUGIN-YUBIKEY-1Q9PSQQGZQYPQXQC"} {
		for _, text := range []string{private, strings.ToLower(private), " " + private, "age1 " + private} {
			_, err := ParseRecipients([]string{publicA, text})
			require.ErrorContains(t, err, "recipient 2: is a private key: treat it as known")
			assert.NotContains(t, strings.ToUpper(err.Error()), private[len(private)-12:])
			assert.NotContains(t, strings.ToUpper(err.Error()), private[:20])
		}
	}
}

func TestReadIdentitiesWarns(t *testing.T) {
	key := newKey(t).String() + "\r\n"
	for mode, want := range map[fs.FileMode]string{0o600: "", 0o640: "", 0o644: "can read the private keys", 0o444: "(mode 0444)"} {
		keys, err := ReadIdentities(writeKeys(t, key, mode))
		require.NoError(t, err)
		assert.Contains(t, keys.Warning(), want)
		assert.Equal(t, want == "", keys.Warning() == "", "mode %o", mode)
	}
}

func TestReadIdentitiesMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadIdentities(filepath.Join(dir, "absent"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ReadIdentities(dir)
	assert.ErrorContains(t, err, "is a directory")
}

func TestRefusedIdentities(t *testing.T) {
	private := newKey(t).String()
	for text, want := range map[string]string{
		"":                        "no identities found",
		"# nothing but words\n":   "no identities found",
		publicA:                   "error at line 1: unknown identity type",
		private + "\n\n" + "what": "error at line 3: unknown identity type",
		private[:50]:              "error at line 1: malformed secret key",
		private + "Q":             "error at line 1: malformed secret key",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n": "keys of SSH are not taken",
		protected(t, private, false):                             "it is encrypted: decrypt it first",
		protected(t, private, true):                              "it is encrypted: decrypt it first",
	} {
		path := writeKeys(t, text, 0o600)
		_, err := ReadIdentities(path)
		require.ErrorContains(t, err, want)
		assert.Contains(t, err.Error(), path)
		assert.NotContains(t, err.Error(), private[20:30], "no key is shown")
	}
}

// protected is an identity file with a passphrase, as "age --passphrase" makes it.
func protected(t *testing.T, text string, armored bool) string {
	t.Helper()
	lock, err := age.NewScryptRecipient("correct horse")
	require.NoError(t, err)
	lock.SetWorkFactor(1)
	var file bytes.Buffer
	w := io.WriteCloser(nopCloser{&file})
	if armored {
		w = armor.NewWriter(&file)
	}
	e, err := age.Encrypt(w, lock)
	require.NoError(t, err)
	_, err = io.WriteString(e, text)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.NoError(t, w.Close())
	return file.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
