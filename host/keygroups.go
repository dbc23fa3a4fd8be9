package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// boundKey is a key at which a table begins or ends.
type boundKey struct {
	family string
	key    []byte
}

// The operations that give a key a value (ValueType in db/dbformat.h). All others
// delete: where a database was cut, range tombstones reach beyond what it holds.
const (
	opValue      = 0x01
	opMerge      = 0x02
	opBlobIndex  = 0x11
	opWideColumn = 0x16
)

// boundKeys lists the ends of a table that are records.
func boundKeys(family string, t version.Table) (keys []boundKey) {
	for _, k := range []version.Key{t.Smallest, t.Largest} {
		switch k.Type {
		case opValue, opMerge, opBlobIndex, opWideColumn:
			keys = append(keys, boundKey{family, k.User})
		}
	}
	return keys
}

// holds tells whether a stored key belongs to some key groups.
func holds(g *catalog.KeyGroups, key []byte) bool {
	group, ok := keygroup.Of(key, g.Count)
	return ok && g.First <= group && group <= g.Last
}

// outside refuses a key that is in none of the declared key groups.
func (s *session) outside(family string, key []byte) error {
	g := s.host.groups
	return problem(CodeFailed, fmt.Errorf("column family %q holds keys outside of key groups %d to %d of %d, such as %s: %w",
		family, g.First, g.Last, g.Count, briefKey(key), abi.ECONFLICT),
		"correct [keygroups] count and range, or remove the table if keys carry no prefix")
}

// briefKey shows the start of a key in hex.
func briefKey(key []byte) string {
	const enough = 24
	switch {
	case len(key) > enough:
		return fmt.Sprintf("%x… (%d bytes)", key[:enough], len(key))
	case len(key) == 0:
		return "the empty one"
	}
	return fmt.Sprintf("%x", key)
}

// proveBounds looks for keys outside of the declared key groups among those at
// which the tables of a checkpoint begin and end: a sample that costs nothing. A
// table may begin with a key that was deleted since, so such a key is looked up.
func (s *session) proveBounds(c *capture) error {
	if s.host.groups == nil {
		return nil
	}
	var suspects []boundKey
	for _, b := range c.bounds {
		if !holds(s.host.groups, b.key) {
			suspects = append(suspects, b)
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	view, err := s.host.db.View()
	if errors.Is(err, rocks.ErrForeign) { // nobody here can read records
		s.host.log.Warn("keys outside of the key groups, which may be deleted ones, were not looked up", "column family", suspects[0].family, "key", briefKey(suspects[0].key))
		return nil
	}
	if err != nil {
		return err
	}
	defer view.Close()
	for _, b := range suspects {
		if live, err := isLive(s.ctx, view, b); err != nil {
			return err
		} else if live {
			return s.outside(b.family, b.key)
		}
	}
	return nil
}

// isLive tells whether a view has a record of a key.
func isLive(ctx context.Context, view *rocks.View, b boundKey) (bool, error) {
	for _, f := range view.Families() {
		if f.Name != b.family {
			continue
		}
		first, found, err := firstKey(ctx, view, f, b.key, nil)
		return found && bytes.Equal(first, b.key), err
	}
	return false, nil
}

// firstKey returns the first key of a range.
func firstKey(ctx context.Context, view *rocks.View, f rocks.Family, lower, upper []byte) (key []byte, found bool, err error) {
	scan, err := view.Scan(f.ID, lower, upper)
	if err != nil {
		return nil, false, err
	}
	defer scan.Close()
	for block, err := range blocks(ctx, scan) {
		if err != nil {
			return nil, false, err
		}
		for key := range canonical.Records(block) {
			return key, true, nil
		}
	}
	return nil, false, nil
}

// proveInside looks for records outside of the key groups that the configuration
// declares: an export of all groups would miss them.
func (s *session) proveInside() error {
	g := s.host.groups
	if g == nil {
		return nil
	}
	lower, upper := keygroup.Range{First: g.First, Last: g.Last}.Bounds(g.Count)
	if width := 8 * keygroup.PrefixBytes(g.Count); upper == nil && g.Count < 1<<width {
		upper = binary.BigEndian.AppendUint16(nil, uint16(g.Count))[2-width/8:] // prefixes that are no group
	}
	for _, f := range s.view.Families() {
		err := s.proveNone(f, nil, lower)
		if err == nil && upper != nil {
			err = s.proveNone(f, upper, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) proveNone(f rocks.Family, lower, upper []byte) error {
	key, found, err := firstKey(s.ctx, s.view, f, lower, upper)
	if found {
		return s.outside(f.Name, key)
	}
	return err
}

// keyCensus looks at every key of a snapshot that declares key groups, and counts
// those that are in none of them.
type keyCensus struct {
	groups *catalog.KeyGroups

	mu      sync.Mutex
	outside uint64
	first   boundKey // that was found
}

// count takes the keys of a block of packed records.
func (c *keyCensus) count(family string, block []byte) {
	for key := range canonical.Records(block) {
		if holds(c.groups, key) {
			continue
		}
		c.mu.Lock()
		if c.outside++; c.outside == 1 {
			c.first = boundKey{family, bytes.Clone(key)}
		}
		c.mu.Unlock()
	}
}

// what says what is wrong, or "".
func (c *keyCensus) what() string {
	if c.outside == 0 {
		return ""
	}
	return fmt.Sprintf("holds keys outside of key groups %d to %d of %d, such as %s of column family %q, and %d in all",
		c.groups.First, c.groups.Last, c.groups.Count, briefKey(c.first.key), c.first.family, c.outside)
}

// readKeys is readObject for a canonical file of a snapshot with key groups: it
// also says whether every key is in its place. Without the key of an encrypted
// object, only the bytes as stored can be checked.
func (r *Repository) readKeys(ctx context.Context, m *Manifest, f *File, t *tally) (what string, err error) {
	body, err := r.open(ctx, f, t)
	if err != nil {
		return r.readObject(ctx, f, t.bytes)
	}
	defer body.Close()
	census := &keyCensus{groups: m.KeyGroups}
	unread := census.countAll(f.Family, body)
	err = drain(body) // the digest, at the end, has the first word
	var d *objectDamage
	switch {
	case errors.As(err, &d):
		return d.what, nil
	case err != nil:
		return "", err
	case unread != nil:
		return "cannot be read: " + unread.Error(), nil
	}
	return census.what(), nil
}

// countAll takes the keys of a canonical file.
func (c *keyCensus) countAll(family string, from io.Reader) error {
	reader, err := canonical.NewStreamReader(from)
	if err != nil {
		return err
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return err
		}
		c.count(family, block)
	}
	return nil
}
