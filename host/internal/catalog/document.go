package catalog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/zeebo/blake3"
)

// Small documents that people may want to read are JSON whose last field is a
// digest of the rest. There is one way to write each, so that a reader that
// finds any other bytes knows them to be damaged.

// sealDocument encodes a document and puts its digest into *digest, which is one
// of its fields.
func sealDocument(document any, digest *string) ([]byte, error) {
	*digest = ""
	plain, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	sum := blake3.Sum256(plain)
	*digest = hex.EncodeToString(sum[:])
	text, err := json.MarshalIndent(document, "", "  ")
	return append(text, '\n'), err
}

// openDocument decodes what sealDocument has written. The digest comes first: a
// flipped bit in the version is damage, and only a sound newer document is
// [ErrVersion].
func openDocument(data []byte, document any, digest *string) error {
	if !sealed(data) {
		return errors.New("digest of the document differs")
	}
	if err := decodeStrict(data, document); err != nil {
		return err
	}
	again, err := sealDocument(document, digest)
	if err == nil && !bytes.Equal(data, again) {
		err = errors.New("it is written in another way than documents are")
	}
	return err
}

// sealed says whether a document, of whatever version, is written in the one way in
// which documents are written, with the digest of the rest as its last field.
func sealed(text []byte) bool {
	var plain, again bytes.Buffer
	if json.Compact(&plain, text) != nil || json.Indent(&again, plain.Bytes(), "", "  ") != nil || again.String()+"\n" != string(text) {
		return false
	}
	const field, end = `"digest":"`, `"}`
	body := plain.String()
	at := strings.LastIndex(body, field)
	if at < 0 {
		return false
	}
	at += len(field)
	sum := blake3.Sum256([]byte(body[:at] + end))
	return body[at:] == hex.EncodeToString(sum[:])+end
}
