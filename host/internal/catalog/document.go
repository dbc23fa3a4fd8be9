package catalog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"

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

// openDocument decodes what sealDocument has written.
func openDocument(data []byte, document any, digest *string) error {
	if err := decodeStrict(data, document); err != nil {
		return err
	}
	again, err := sealDocument(document, digest)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, again) {
		return errors.New("digest of the document differs")
	}
	return nil
}
