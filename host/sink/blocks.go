package sink

import "github.com/rocksnap/rocksnap/abi/canonical"

// Blocks gathers the records of a column family into blocks for a [Visit].
type Blocks struct {
	family string
	size   int
	visit  Visit
	packed []byte
	some   bool // a block was visited
}

// NewBlocks returns an empty Blocks. Its blocks are of about size bytes, or of
// one record when that is more.
func NewBlocks(family string, size int, visit Visit) *Blocks {
	return &Blocks{family: family, size: size, visit: visit}
}

// Add adds a record.
func (b *Blocks) Add(key, value []byte) error {
	b.packed = canonical.AppendRecord(b.packed, key, value)
	if len(b.packed) < b.size {
		return nil
	}
	return b.send()
}

// Flush visits what is left, or nil when there were no records at all.
func (b *Blocks) Flush() error {
	if len(b.packed) == 0 && b.some {
		return nil
	}
	return b.send()
}

func (b *Blocks) send() error {
	b.some = true
	err := b.visit(b.family, b.packed)
	b.packed = b.packed[:0]
	if cap(b.packed) > 4*b.size { // a single long record has grown it
		b.packed = nil
	}
	return err
}
