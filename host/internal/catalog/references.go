package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// references reads of entries their heads, and of the files only the names of their
// objects, for a plan: what it does not look at is nine tenths of the work. Digests are
// checked all the same. A run that deletes reads entries whole.
type references struct {
	catalog   *Catalog
	unpackers sync.Pool // of *zstd.Decoder: to make one costs more than to use it
}

func (r *references) read(ctx context.Context, p place) (*entry, error) {
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
	e.manifest.Contents = objectsIn(text)
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

// objectsIn returns files with nothing but their objects, each object once. The text
// is JSON as this package writes it: its strings hold no bare quotes, so that these
// bytes are a field of that name, and its value has no escapes. A map of the strategy
// may have such a field too; one name too many is no harm, as it keeps what it names.
func objectsIn(text []byte) []File {
	field := []byte(`"object":"`)
	var names []string
	for {
		at := bytes.Index(text, field)
		if at < 0 {
			break
		}
		text = text[at+len(field):]
		if end := bytes.IndexByte(text, '"'); end >= 0 {
			names = append(names, string(text[:end]))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	files := make([]File, len(names))
	for i, name := range names {
		files[i].Object = name
	}
	return files
}
