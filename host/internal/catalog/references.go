package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
)

// readReferences reads of an entry its head, and of the files only the names of
// their objects, for a plan: what it does not look at is nine tenths of the work. The
// digests are checked all the same. A run that deletes reads entries whole.
func (c *Catalog) readReferences(ctx context.Context, p place) (*entry, error) {
	data, err := readObject(ctx, c.store, p.name, headerSize+maxHead+maxBody)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	e, err := decodeReferences(data)
	return c.settle(p, e, err)
}

func decodeReferences(data []byte) (*entry, error) {
	e, err := decodeHead(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	body, err := openBody(e.header, data)
	if err != nil || e.manifest == nil {
		return e, err
	}
	err = unpackStream(body, func(r io.Reader) error {
		var text bytes.Buffer
		_, err := text.ReadFrom(r)
		e.manifest.Contents = objectsIn(text.Bytes())
		return err
	})
	return e, err
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
