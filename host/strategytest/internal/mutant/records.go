package mutant

import (
	"context"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
)

// exports exports ranges, given as column family, first and last group.
func exports(ranges ...[3]uint32) func(context.Context, abi.Session) error {
	return func(ctx context.Context, s abi.Session) error {
		list := make([]abi.Export, len(ranges))
		for i, r := range ranges {
			list[i] = abi.Export{Family: r[0], FirstGroup: r[1], LastGroup: r[2]}
		}
		return abi.ExportAll(ctx, s, list)
	}
}

var (
	wholeDefault = [3]uint32{0, 0, 0}
	wholeOrders  = [3]uint32{1, 0, 0}
)

// copied exports orders, and copies default itself, with its blocks of records
// changed.
func copied(change func(blocks [][]byte) [][]byte) func(context.Context, abi.Session) error {
	return func(ctx context.Context, s abi.Session) error {
		if err := exports(wholeOrders)(ctx, s); err != nil {
			return err
		}
		blocks, err := scan(s, 0)
		if err != nil {
			return err
		}
		return write(s, 0, change(blocks))
	}
}

// scan reads a column family to its end.
func scan(s abi.Session, family uint32) (blocks [][]byte, err error) {
	scan, err := s.ScanOpen(family, 0, 0)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	for {
		buf := make([]byte, 2000)
		n, err := scan.Next(buf)
		if n == 0 || err != nil {
			return blocks, err
		}
		blocks = append(blocks, buf[:n])
	}
}

func write(s abi.Session, family uint32, blocks [][]byte) error {
	out, err := s.StreamOpen(abi.StreamSpec{Kind: abi.StreamRecords, Family: family})
	if err != nil {
		return err
	}
	for _, block := range blocks {
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return out.Close()
}

func dropLast(blocks [][]byte) [][]byte { return blocks[:len(blocks)-1] }

func repeatFirst(blocks [][]byte) [][]byte { return append([][]byte{blocks[0]}, blocks...) }

func backwards(blocks [][]byte) [][]byte {
	slices.Reverse(blocks)
	return blocks
}

// forgeValue changes the last byte of the first block, which is one of a value.
func forgeValue(blocks [][]byte) [][]byte {
	blocks[0][len(blocks[0])-1] ^= 1
	return blocks
}

func invent(blocks [][]byte) [][]byte {
	return append(blocks, canonical.AppendRecord(nil, []byte("zzz"), []byte("never was in the database")))
}

func cutShort(blocks [][]byte) [][]byte {
	blocks[0] = blocks[0][:len(blocks[0])-1]
	return blocks
}

func forgeLength(blocks [][]byte) [][]byte {
	blocks[0][0], blocks[0][1], blocks[0][2], blocks[0][3] = 0xff, 0xff, 0xff, 0xff
	return blocks
}

// wrongFamily writes the records of default as those of orders.
func wrongFamily(ctx context.Context, s abi.Session) error {
	if err := exports(wholeDefault)(ctx, s); err != nil {
		return err
	}
	blocks, err := scan(s, 0)
	if err != nil {
		return err
	}
	return write(s, 1, blocks)
}

// twoStreams writes default twice.
func twoStreams(ctx context.Context, s abi.Session) error {
	if err := copied(slices.Clone)(ctx, s); err != nil {
		return err
	}
	blocks, err := scan(s, 0)
	if err != nil {
		return err
	}
	return write(s, 0, blocks)
}

// unread writes records that it has not read.
func unread(ctx context.Context, s abi.Session) error {
	if err := exports(wholeOrders)(ctx, s); err != nil {
		return err
	}
	return write(s, 0, nil)
}

// stream opens a stream and leaves it open.
func stream(spec abi.StreamSpec) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error {
		_, err := s.StreamOpen(spec)
		return err
	}
}

func scanOf(family, first, last uint32) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error {
		scan, err := s.ScanOpen(family, first, last)
		if err != nil {
			return err
		}
		return scan.Close()
	}
}

func export(e abi.Export) func(context.Context, abi.Session) error {
	return func(_ context.Context, s abi.Session) error {
		_, err := s.Export([]abi.Export{e})
		return err
	}
}

// Copy is no mutant: it copies one column family faithfully, and exports the other.
func Copy(ctx context.Context, s abi.Session) error { return copied(slices.Clone)(ctx, s) }
