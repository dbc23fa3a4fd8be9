package config

import (
	"slices"
	"strings"
)

// fromAWS says where the secrets of an S3 repository come from.
const fromAWS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or use another of the usual sources of AWS clients, such as ~/.aws/credentials"

// secretWords are what the names of secrets have in common.
var secretWords = []string{"secret", "password", "passwd", "passphrase", "accesskey", "token", "credential", "privatekey"}

// mayHoldSecret reports whether a text is about a secret. It is for deciding
// what not to repeat, so it says yes too often rather than too rarely.
func mayHoldSecret(text string) bool {
	text = strings.ToLower(text)
	plain := strings.NewReplacer("_", "", "-", "", " ", "").Replace(text)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(plain, word) })
}

// secretHint says where a secret belongs that somebody gave under an unknown key
// of the repository; "" for any other key. The parts of the key are joined by
// underscores, as in the name of a variable.
func secretHint(key string) string {
	switch key = strings.ToLower(key); {
	case !strings.HasPrefix(key, "repository_") || !mayHoldSecret(key):
		return ""
	case strings.HasPrefix(key, "repository_encryption_"):
		return identityHint
	}
	return fromAWS
}
