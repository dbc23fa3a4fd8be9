package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sampleKey = "ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestParseKey(t *testing.T) {
	key, err := ParseKey(sampleKey)
	require.NoError(t, err)
	assert.Equal(t, byte(31), key[31])
	assert.Equal(t, sampleKey, FormatKey(key))
	for _, text := range []string{
		"", "ed25519:", sampleKey[8:], sampleKey + "\n", " " + sampleKey, sampleKey[:20] + "\n" + sampleKey[20:],
		sampleKey[:len(sampleKey)-1], sampleKey + sampleKey[8:], "ED25519:" + sampleKey[8:],
		sampleKey[:len(sampleKey)-2] + "9=", // the last two bits are no part of the key
		"ed25519:-" + sampleKey[9:],
	} {
		_, err := ParseKey(text)
		assert.ErrorContains(t, err, "must be", "%q", text)
	}
	_, err = ParseKey("-----BEGIN PRIVATE KEY-----\nhunter2")
	assert.EqualError(t, err, "is a secret key")
}

func TestKeysOfTheEnvironment(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal(""), []string{
		"ROCKSNAP_PLUGINS_MEMORY=64MiB", "ROCKSNAP_PLUGINS_REQUIRE_SIGNATURE=true",
		"ROCKSNAP_STRATEGIES_INCREMENTAL_KEYS=" + sampleKey + ", " + sampleKey,
		"ROCKSNAP_STRATEGIES_INCREMENTAL_ISOLATION=process",
		"ROCKSNAP_STRATEGIES_INCREMENTAL_LIMITS_GRACE=0s",
	})
	require.NoError(t, err)
	assert.Equal(t, Plugins{Memory: 64 << 20, RequireSignature: true}, c.Plugins)
	assert.Equal(t, []string{sampleKey, sampleKey}, c.Strategies["incremental"].Keys)
	assert.Equal(t, IsolationProcess, c.Strategies["incremental"].Isolation)
	assert.Zero(t, c.Strategies["incremental"].Limits.Grace)
	assert.Contains(t, c.Effective(), Setting{"plugins.memory", `"64MiB"`, "environment ROCKSNAP_PLUGINS_MEMORY"})
	assert.Contains(t, c.Effective(), Setting{"strategies.incremental.limits.log", `"256KiB"`, "default"})
}
