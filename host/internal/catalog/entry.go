package catalog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// The layout of an entry; DESIGN.md has the table. The header keeps its shape in
// every version, so that damage can be told from novelty.
const (
	magic      = "RSNAPENT"
	layout     = 1
	headerSize = 84
	sealAt     = 52      // offset of the seal, which covers all before it and the head
	maxHead    = 1 << 20 // bytes
	maxBody    = 1 << 29 // bytes, stored and decoded
)

// The types of entry.
const (
	typeManifest uint16 = 1
	typeEpoch    uint16 = 2
	typeRemoval  uint16 = 3
)

// header is the fixed part of an entry.
type header struct {
	layout, kind uint16
	head, body   uint32 // lengths in bytes
}

// epoch is the document of an epoch entry.
type epoch struct {
	Version  int       `json:"version"`
	Slot     uint64    `json:"epoch"`
	Writer   string    `json:"writer"` // UUID, by which a writer knows its own entry again
	Database string    `json:"database"`
	Parent   string    `json:"parent"`  // "" in the first slot
	Created  time.Time `json:"created"` // by the writer's clock; decides nothing
	Owner    Owner     `json:"owner"`
}

// entry is a decoded entry: a manifest, of which only the Summary is set when
// just the head was read, an epoch, or a removal.
type entry struct {
	header
	document
	slot     uint64
	name     string
	digest   string    // what the next entry holds as its Parent
	manifest *Manifest // nil unless it is one
	epoch    *epoch    // nil unless it is one
	removal  *removal  // nil unless it is one
	standing standing  // of a manifest, as far as somebody has looked it up
}

// document is what every type of entry says.
type document interface {
	id() string                           // tells entries of different publishers apart
	term() uint64                         // the epoch that it belongs to, 0 for none
	parent() string                       // digest of the entry before
	home() (slot uint64, database string) // the place that it was written for
}

func (s *Summary) id() string             { return s.ID }
func (s *Summary) term() uint64           { return s.Epoch }
func (s *Summary) parent() string         { return s.Parent }
func (s *Summary) home() (uint64, string) { return s.Slot, s.Database }

func (e *epoch) id() string             { return e.Writer }
func (e *epoch) term() uint64           { return e.Slot }
func (e *epoch) parent() string         { return e.Parent }
func (e *epoch) home() (uint64, string) { return e.Slot, e.Database }

// sealEntry lays out an entry around its two parts, which are within the limits.
func sealEntry(kind uint16, head, body []byte) []byte {
	data := make([]byte, 0, headerSize+len(head)+len(body))
	data = append(data, magic...)
	data = binary.LittleEndian.AppendUint16(data, layout)
	data = binary.LittleEndian.AppendUint16(data, kind)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(head)))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(body)))
	sum := blake3.Sum256(body)
	data = append(data, sum[:]...)
	seal := sealOf(data, head)
	data = append(data, seal[:]...)
	return append(append(data, head...), body...)
}

// sealOf digests the header up to the seal, and the head. Because the header
// holds the digest of the body, the seal covers every byte of the entry.
func sealOf(header, head []byte) (seal [32]byte) {
	h := blake3.New()
	h.Write(header[:sealAt])
	h.Write(head)
	h.Sum(seal[:0])
	return seal
}

// entryDigest identifies an entry by its header. It takes what is there of a
// damaged one, so that damage never stops the catalog from going on.
func entryDigest(data []byte) string {
	sum := blake3.Sum256(data[:min(len(data), headerSize)])
	return hex.EncodeToString(sum[:])
}

// parseHeader reads the header at the start of data. Its values are not proven
// until openHead has returned.
func parseHeader(data []byte) (header, error) {
	if len(data) < headerSize || string(data[:8]) != magic {
		return header{}, errors.New("it does not start as an entry does")
	}
	h := header{
		layout: binary.LittleEndian.Uint16(data[8:]),
		kind:   binary.LittleEndian.Uint16(data[10:]),
		head:   binary.LittleEndian.Uint32(data[12:]),
		body:   binary.LittleEndian.Uint32(data[16:]),
	}
	if h.head > maxHead || h.body > maxBody {
		return header{}, errors.New("lengths in the header are impossible")
	}
	return h, nil
}

// size returns the length of the whole entry in bytes.
func (h header) size() int64 { return headerSize + int64(h.head) + int64(h.body) }

// openHead returns the proven head out of the start of an entry.
func openHead(h header, data []byte) ([]byte, error) {
	end := headerSize + int(h.head)
	if len(data) < end {
		return nil, errors.New("it is too short")
	}
	head := data[headerSize:end]
	if sealOf(data, head) != [32]byte(data[sealAt:headerSize]) {
		return nil, errors.New("digest of the head differs")
	}
	if h.layout > layout || h.kind < typeManifest || h.kind > typeRemoval {
		return nil, ErrVersion
	}
	return head, nil
}

// openBody returns the proven body of a whole entry whose head is proven.
func openBody(h header, data []byte) ([]byte, error) {
	body := data[headerSize+int(h.head):]
	if blake3.Sum256(body) != [32]byte(data[20:sealAt]) {
		return nil, errors.New("digest of the body differs")
	}
	return body, nil
}

// decodeHead decodes the start of an entry that is size bytes long.
func decodeHead(data []byte, size int64) (*entry, error) {
	h, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	head, err := openHead(h, data)
	if err != nil {
		return nil, err
	}
	if h.size() != size {
		return nil, fmt.Errorf("it has %d bytes, not %d", size, h.size())
	}
	e := &entry{header: h, digest: entryDigest(data)}
	return e, e.decodeHead(head)
}

func (e *entry) decodeHead(head []byte) error {
	switch e.kind {
	case typeEpoch:
		e.epoch = new(epoch)
		e.document = e.epoch
		return decodeStrict(head, e.epoch)
	case typeRemoval:
		e.removal = new(removal)
		e.document = e.removal
		if err := decodeStrict(head, e.removal); err != nil {
			return err
		}
		return e.removal.validate()
	}
	e.manifest = new(Manifest)
	e.document = &e.manifest.Summary
	if err := decodeStrict(head, &e.manifest.Summary); err != nil {
		return err
	}
	return e.manifest.Summary.validate()
}

// decodeEntry decodes a whole entry and checks everything that can be known
// without other entries.
func decodeEntry(data []byte) (*entry, error) {
	e, err := decodeHead(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	body, err := openBody(e.header, data)
	if err != nil || e.manifest == nil {
		return e, err
	}
	if err := unpack(body, &e.manifest.Detail); err != nil {
		return nil, err
	}
	return e, e.manifest.Validate()
}

// decodeStrict decodes one JSON document that has a version. That is judged
// first: a newer document may well have other fields.
func decodeStrict(data []byte, document any) error {
	if !bytes.HasPrefix(data, currentVersion) { // as this rocksnap writes it
		if err := checkVersion(data); err != nil {
			return err
		}
	}
	return decodeJSON(bytes.NewReader(data), document)
}

// currentVersion begins the heads of the present version, as they are written: of these
// the text is gone through once and not twice.
var currentVersion = fmt.Appendf(nil, `{"version":%d,`, FormatVersion)

func checkVersion(data []byte) error {
	var probe struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &probe); err != nil {
		return err
	}
	switch {
	case probe.Version > FormatVersion:
		return ErrVersion
	case probe.Version < FormatVersion:
		return fmt.Errorf("version %d does not exist", probe.Version)
	}
	return nil
}

// decodeJSON decodes exactly one document without unknown fields.
func decodeJSON(r io.Reader, document any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(document); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more follows the document")
	}
	return nil
}

// pack encodes and compresses a document, such as the detail that is the body of
// an entry.
func pack(document any) ([]byte, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	if len(text) > maxBody {
		return nil, fmt.Errorf("manifest of %d bytes is larger than %d", len(text), maxBody)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.EncodeAll(text, nil), nil
}

// unpack is the reverse of pack. It decodes as a stream, so that the memory it
// takes follows what is there and not what a frame claims.
func unpack(body []byte, document any) error {
	z, err := newUnpacker()
	if err != nil {
		return err
	}
	defer z.Close()
	if err := z.Reset(bytes.NewReader(body)); err != nil {
		return err
	}
	return decodeJSON(io.LimitReader(z, maxBody), document)
}

func newUnpacker() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBody))
}

// encodeHead encodes the document of an entry as its head.
func encodeHead(document any) ([]byte, error) {
	head, err := json.Marshal(document)
	if err == nil && len(head) > maxHead {
		err = fmt.Errorf("head of %d bytes is larger than %d; too many labels", len(head), maxHead)
	}
	return head, err
}
