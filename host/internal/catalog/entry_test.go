package catalog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

var update = flag.Bool("update", false, "write the vectors again; for a new version only")

// TestVectors reads entries that version 1 has written, for as long as there is
// a version 1 anywhere.
func TestVectors(t *testing.T) {
	for _, name := range []string{"manifest-v1", "epoch-v1", "removal-v1"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".entry"))
		require.NoError(t, err)
		e, err := decodeEntry(data)
		require.NoError(t, err)
		var document any = e.epoch
		switch {
		case e.manifest != nil:
			document = e.manifest
		case e.removal != nil:
			document = e.removal
		}
		got, err := json.MarshalIndent(document, "", "  ")
		require.NoError(t, err)
		want, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got)+"\n")
	}
}

func TestWriteVectors(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	m := commit(t, w)
	writeVector(t, root, 1, "epoch-v1", &w.epoch)
	writeVector(t, root, 2, "manifest-v1", m)
	commit(t, w)
	_, err := c.Prune(t.Context(), PruneOptions{Remove: []string{m.ID}, Owner: owner})
	require.NoError(t, err)
	e, err := c.readWhole(t.Context(), c.place(5))
	require.NoError(t, err)
	writeVector(t, root, 5, "removal-v1", e.removal)
}

func writeVector(t *testing.T, root string, slot uint64, name string, document any) {
	data, err := os.ReadFile(entryFile(root, slot))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join("testdata", name+".entry"), data, 0o644))
	text, err := json.MarshalIndent(document, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join("testdata", name+".json"), append(text, '\n'), 0o644))
}

// TestLayout takes an entry apart by the table of DESIGN.md alone.
func TestLayout(t *testing.T) {
	data := encode(t, manifest())
	head := int(binary.LittleEndian.Uint32(data[12:]))
	body := int(binary.LittleEndian.Uint32(data[16:]))
	assert.Equal(t, "RSNAPENT", string(data[:8]))
	assert.EqualValues(t, 1, binary.LittleEndian.Uint16(data[8:]))
	assert.EqualValues(t, 1, binary.LittleEndian.Uint16(data[10:]))
	require.Len(t, data, 84+head+body)
	assert.True(t, json.Valid(data[84:84+head]))
	assert.Equal(t, uint32(0xfd2fb528), binary.LittleEndian.Uint32(data[84+head:]), "zstd")
	sum := blake3.Sum256(data[84+head:])
	assert.Equal(t, sum[:], data[20:52])
	sum = blake3.Sum256(append(bytes.Clone(data[:52]), data[84:84+head]...))
	assert.Equal(t, sum[:], data[52:84])
}

func TestNewerEntriesAreRefusedAsSuch(t *testing.T) {
	reseal := func(data []byte) []byte {
		seal := sealOf(data, data[headerSize:headerSize+binary.LittleEndian.Uint32(data[12:])])
		copy(data[sealAt:], seal[:])
		return data
	}
	layout := encode(t, manifest())
	layout[8] = 2
	kind := encode(t, manifest())
	kind[10] = 9
	for name, data := range map[string][]byte{
		"layout": reseal(layout),
		"type":   reseal(kind),
		"schema": sealEntry(typeManifest, []byte(`{"version":2,"new":1}`), nil),
		"epoch":  sealEntry(typeEpoch, []byte(`{"version":2,"new":1}`), nil),
	} {
		_, err := decodeEntry(data)
		assert.ErrorIs(t, err, ErrVersion, name)
	}
}

func TestEntriesAreDecodedStrictly(t *testing.T) {
	whole, err := json.Marshal(manifest().Summary)
	require.NoError(t, err)
	body, err := pack(&manifest().Detail)
	require.NoError(t, err)
	head := bytes.Replace(whole, []byte(`"version":0`), []byte(`"version":1`), 1)
	_, err = decodeEntry(sealEntry(typeManifest, head, body))
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"version 0":     sealEntry(typeManifest, whole, body),
		"unknown field": sealEntry(typeManifest, append([]byte(`{"x":1,`), head[1:]...), body),
		"second value":  sealEntry(typeManifest, append(bytes.Clone(head), "{}"...), body),
		"no body":       sealEntry(typeManifest, head, nil),
		"garbage body":  sealEntry(typeManifest, head, []byte("body")),
		"other summary": sealEntry(typeManifest, bytes.Replace(head, []byte(`"files":2`), []byte(`"files":3`), 1), body),
		"epoch's type":  sealEntry(typeEpoch, head, body),
	} {
		_, err := decodeEntry(data)
		assert.Error(t, err, name)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	m := manifest()
	m.Version, m.Slot, m.Epoch = FormatVersion, 2, 1
	head, err := encodeHead(&m.Summary)
	require.NoError(f, err)
	body, err := pack(&m.Detail)
	require.NoError(f, err)
	f.Add(typeManifest, head, body, true)
	f.Add(typeManifest, sealEntry(typeManifest, head, body), []byte{}, false)
	f.Add(typeEpoch, []byte(`{"version":1,"epoch":1,"writer":"w","database":"orders","parent":"","created":"2026-03-01T12:00:00Z","owner":{"host":"h","pid":1}}`), []byte{}, true)
	f.Add(uint16(9), []byte(magic), []byte{}, false)
	f.Fuzz(func(t *testing.T, kind uint16, head, body []byte, seal bool) {
		data := head
		if seal { // let the fuzzer past the digests
			data = sealEntry(kind, head, body)
		}
		e, err := decodeEntry(data)
		if err != nil || e.manifest == nil {
			return
		}
		again, err := decodeEntry(encode(t, e.manifest))
		require.NoError(t, err)
		require.Equal(t, e.manifest, again.manifest)
	})
}
