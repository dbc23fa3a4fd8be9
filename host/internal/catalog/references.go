package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// references reads of entries their heads, and of the files only the names of their
// objects, for a plan: what it does not look at is nine tenths of the work. Digests are
// checked all the same. A run that deletes reads entries whole.
type references struct {
	catalog   *Catalog
	unpackers sync.Pool // of *zstd.Decoder: to make one costs more than to use it

	mu    sync.Mutex
	names map[string]string // each object's name once: as a rule many entries have it
}

func newReferences(c *Catalog) *references {
	return &references{catalog: c, names: make(map[string]string)}
}

// read takes what is known of an entry: for a plan that will do.
func (r *references) read(ctx context.Context, p place) (*entry, error) {
	if h := r.catalog.known.find(p); h.objects != nil {
		if e, err := decodeHead(h.start, p.size); err == nil && e.manifest != nil {
			e.manifest.Contents = filesOf(h.objects)
			return r.catalog.settle(p, e, nil)
		}
	}
	e, err := r.fetch(ctx, p)
	if err == nil && e.manifest != nil {
		r.catalog.known.addObjects(p, e.manifest.Contents)
	}
	return e, err
}

func filesOf(objects []string) []File {
	files := make([]File, len(objects))
	for i, name := range objects {
		files[i].Object = name
	}
	return files
}

func (r *references) fetch(ctx context.Context, p place) (*entry, error) {
	data, err := readObject(ctx, r.catalog.store, p.name, headerSize+maxHead+maxBody)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	e, err := r.decode(data)
	return r.catalog.settle(p, e, err)
}

func (r *references) decode(data []byte) (*entry, error) {
	e, err := decodeHead(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	body, err := openBody(e.header, data)
	if err != nil || e.manifest == nil {
		return e, err
	}
	text, err := r.unpack(body)
	e.manifest.Contents = r.objectsIn(text)
	return e, err
}

func (r *references) unpack(body []byte) ([]byte, error) {
	z, ok := r.unpackers.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if z, err = newUnpacker(); err != nil {
			return nil, err
		}
	}
	defer r.unpackers.Put(z)
	if err := z.Reset(bytes.NewReader(body)); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	_, err := text.ReadFrom(io.LimitReader(z, maxBody))
	return text.Bytes(), err
}

// objectsIn returns files with nothing but their objects. The text is JSON as this
// package writes it: its strings hold no bare quotes, so that these bytes are a field of
// that name, and its value has no escapes. A map of the strategy may have such a field
// too; one name too many is no harm, as it keeps what it names.
func (r *references) objectsIn(text []byte) []File {
	field := []byte(`"object":"`)
	files := make([]File, 0, bytes.Count(text, field))
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		_, rest, found := bytes.Cut(text, field)
		end := bytes.IndexByte(rest, '"')
		if !found || end < 0 {
			return files
		}
		name, known := r.names[string(rest[:end])]
		if !known {
			name = string(rest[:end])
			r.names[name] = name
		}
		files = append(files, File{Object: name})
		text = rest[end:]
	}
}
