// Command redact is a strategy that takes the values of some keys out of the
// snapshot. It shows how a strategy reads and writes records itself, block by
// block, where the built-in ones leave that to the host.
package main

import (
	"bytes"
	"context"
	"errors"
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
	Prefix      string `json:"prefix"`      // of the keys, without their key group; "" for none
	Replacement string `json:"replacement"` // what their values become

	info     abi.Info
	families int
	block    []byte // of records as they are read
	out      []byte // of records as they are written
	redacted int    // values so far
}

// Init reads prefix and replacement.
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

// Snapshot copies every column family, and says in the metadata how many values
// it replaced.
func (r *redact) Snapshot(ctx context.Context, s abi.Session) error {
	families := make([]abi.Family, r.families)
	if _, err := s.FamiliesRead(0, families); err != nil {
		return err
	}
	for _, f := range families {
		if err := r.copy(ctx, s, f.ID); err != nil {
			return err
		}
	}
	return s.MetaPut("redacted", strconv.AppendInt(nil, int64(r.redacted), 10))
}

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
	if r.Prefix != "" {
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
