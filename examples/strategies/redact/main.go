// Command redact is a strategy that leaves column families, and the values of some
// keys, out of the snapshot. It shows how a strategy reads and writes records
// itself, block by block, where the built-in ones leave that to the host.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(&redact{}) }

func main() {}

// firstBlock is a block's size in bytes until a longer record turns up.
const firstBlock = 128 << 10

type redact struct {
	Families    []string `json:"families"`    // column families to save; none for all
	Prefix      string   `json:"prefix"`      // of the keys, without their key group; "" for none
	Replacement string   `json:"replacement"` // what their values become

	info     abi.Info
	families int
	block    []byte // of records as they are read
	out      []byte // of records as they are written
	redacted int    // values so far
}

// Init reads families, prefix and replacement.
func (r *redact) Init(_ context.Context, s abi.Session) (err error) {
	r.block = make([]byte, firstBlock)
	if r.info, err = s.Info(); err != nil {
		return err
	}
	return guest.Config(s, r)
}

// Prepare opens the view that all records are read from.
func (r *redact) Prepare(_ context.Context, s abi.Session) (err error) {
	r.families, err = s.View()
	return err
}

// Snapshot copies the chosen column families, and says in the metadata how many
// values it replaced.
func (r *redact) Snapshot(ctx context.Context, s abi.Session) error {
	families := make([]abi.Family, r.families)
	if _, err := s.FamiliesRead(0, families); err != nil {
		return err
	}
	chosen, err := r.choose(s, families)
	if err != nil {
		return err
	}
	for _, family := range chosen {
		if err := r.copy(ctx, s, family); err != nil {
			return err
		}
	}
	return s.MetaPut("redacted", strconv.AppendInt(nil, int64(r.redacted), 10))
}

// choose returns the ids of the column families to save. A name that no column
// family has is a mistake: without it the snapshot would lack what was asked for.
func (r *redact) choose(s abi.Session, families []abi.Family) (ids []uint32, err error) {
	missing := slices.Clone(r.Families)
	for _, f := range families {
		name, err := s.FamilyName(f.ID)
		if err != nil {
			return nil, err
		}
		if len(r.Families) > 0 && !slices.Contains(r.Families, name) {
			continue
		}
		ids = append(ids, f.ID)
		missing = slices.DeleteFunc(missing, func(other string) bool { return other == name })
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("families: the database has no column family %q: %w", missing[0], abi.EINVAL)
	}
	return ids, nil
}

// transforms tells whether the snapshot is meant to differ from the database.
func (r *redact) transforms() bool { return r.Prefix != "" || len(r.Families) > 0 }

func (r *redact) copy(ctx context.Context, s abi.Session, family uint32) error {
	scan, err := s.ScanOpen(family, r.info.GroupFirst, r.info.GroupLast)
	if err != nil {
		return err
	}
	defer scan.Close()
	spec := abi.StreamSpec{
		Kind: abi.StreamRecords, Codec: abi.CodecZstd,
		Family: family, FirstGroup: r.info.GroupFirst, LastGroup: r.info.GroupLast,
	}
	if r.transforms() {
		spec.Flags = abi.StreamTransformed
	}
	stream, err := s.StreamOpen(spec)
	if err != nil {
		return err
	}
	for {
		n, err := r.move(s, scan, stream)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return stream.Close()
		}
	}
}

// move moves the next block and returns its length, 0 at the end. A record that
// is longer than the block gets a longer block.
func (r *redact) move(s abi.Session, scan abi.Scan, stream abi.Stream) (int, error) {
	n, err := r.tryMove(s, scan, stream)
	if !errors.Is(err, abi.EBUF) {
		return n, err
	}
	r.block = make([]byte, scan.Need())
	return r.tryMove(s, scan, stream)
}

// tryMove leaves the copying to the host where nothing is to be replaced.
func (r *redact) tryMove(s abi.Session, scan abi.Scan, stream abi.Stream) (int, error) {
	if r.Prefix == "" {
		return s.Pump(scan, stream, r.block)
	}
	n, err := scan.Next(r.block)
	if n == 0 || err != nil {
		return 0, err
	}
	_, err = stream.Write(r.replace(r.block[:n]))
	return n, err
}

// replace returns the records with the values of matching keys replaced.
func (r *redact) replace(block []byte) []byte {
	r.out = r.out[:0]
	for key, value := range canonical.Records(block) {
		if bytes.HasPrefix(key[r.info.PrefixBytes:], []byte(r.Prefix)) {
			value = []byte(r.Replacement)
			r.redacted++
		}
		r.out = canonical.AppendRecord(r.out, key, value)
	}
	return r.out
}
