package catalog

import (
	"bytes"
	"maps"
	"slices"
	"sync"
)

// recent remembers the manifest that was read for sharing, or committed, last: as
// a rule the next snapshot builds on it. An entry never changes, so what was decoded
// of it holds for as long as the store has the same bytes, and these are read and
// proven every time. To decode them takes a hundred times as long.
type recent struct {
	mu       sync.Mutex
	digest   string // of the entry
	manifest *Manifest
}

// recentFiles bounds the files of a manifest that is remembered: some 10 MB.
const recentFiles = 20000

// decode is decodeEntry, of which a manifest is shared: nobody may change it.
func (r *recent) decode(data []byte) (*entry, error) {
	e, err := decodeHead(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	known := r.of(e.digest)
	if known == nil {
		if e, err = decodeEntry(data); err == nil && e.manifest != nil {
			r.keep(e.digest, e.manifest)
		}
		return e, err
	}
	if _, err := openBody(e.header, data); err != nil {
		return nil, err
	}
	e.manifest, e.document = known, &known.Summary
	return e, nil
}

func (r *recent) of(digest string) *Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.digest != digest {
		return nil
	}
	return r.manifest
}

// keep remembers a manifest that nobody will change. One with an encrypted part may
// still be decrypted in place.
func (r *recent) keep(digest string, m *Manifest) {
	if len(m.Contents) > recentFiles || m.Concealed() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.digest, r.manifest = digest, m
}

// keepOf remembers a manifest that its owner goes on to use, and may change: nothing of
// what the next snapshot builds on is shared with it.
func (r *recent) keepOf(digest string, m *Manifest) {
	own := *m
	own.Known, own.State = slices.Clone(m.Known), maps.Clone(m.State)
	for key, value := range own.State {
		own.State[key] = bytes.Clone(value)
	}
	own.Contents = slices.Clone(m.Contents)
	for i := range own.Contents {
		if at := own.Contents[i].Segment; at != nil {
			segment := *at
			own.Contents[i].Segment = &segment
		}
	}
	r.keep(digest, &own)
}
