package main

import (
	"encoding/binary"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// everything is the whole range of key groups.
func everything(s abi.Session) (first, last uint32, err error) {
	info, err := s.Info()
	return info.GroupFirst, info.GroupLast, err
}

// export has the host write families and waits.
func export(s abi.Session, families ...uint32) error {
	first, last, err := everything(s)
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := s.Export([]abi.Export{{Family: family, FirstGroup: first, LastGroup: last}}); err != nil {
			return err
		}
		done := make([]abi.Completion, 1)
		if _, err := s.Wait(done); err != nil {
			return err
		}
		if err := done[0].Err(); err != nil {
			return err
		}
	}
	return nil
}

func exportOne(s abi.Session) error { return export(s, 0) }

func exportTwice(s abi.Session) error { return export(s, 0, 1, 1) }

// open opens a scan of one family and a stream for another.
func open(s abi.Session, from, to uint32) (abi.Scan, abi.Stream, error) {
	first, last, err := everything(s)
	if err != nil {
		return nil, nil, err
	}
	scan, err := s.ScanOpen(from, first, last)
	if err != nil {
		return nil, nil, err
	}
	stream, err := s.StreamOpen(abi.StreamSpec{Kind: abi.StreamRecords, Family: to, FirstGroup: first, LastGroup: last})
	return scan, stream, err
}

// forge exports one column family and copies the other itself, after the records
// of the first block were changed.
func forge(change func([][]byte) [][]byte) func(abi.Session) error {
	return func(s abi.Session) error {
		if err := export(s, 1); err != nil {
			return err
		}
		scan, stream, err := open(s, 0, 0)
		if err != nil {
			return err
		}
		buf := make([]byte, 64<<10)
		for {
			n, err := scan.Next(buf)
			if err != nil {
				return err
			}
			if n == 0 {
				return stream.Close()
			}
			block := buf[:n]
			if change != nil {
				block, change = slices.Concat(change(split(block))...), nil
			}
			if _, err := stream.Write(block); err != nil {
				return err
			}
		}
	}
}

// split returns the packed records of a block.
func split(block []byte) (list [][]byte) {
	for len(block) > 0 {
		n := 8 + int(binary.LittleEndian.Uint32(block)) + int(binary.LittleEndian.Uint32(block[4:]))
		list = append(list, block[:n:n])
		block = block[n:]
	}
	return list
}

// halfway reads and writes the first block only.
func halfway(s abi.Session) error {
	if err := export(s, 1); err != nil {
		return err
	}
	scan, stream, err := open(s, 0, 0)
	if err != nil {
		return err
	}
	if _, err := s.Pump(scan, stream, make([]byte, 4<<10)); err != nil {
		return err
	}
	return stream.Close()
}

// intoAnother copies the records of one family into the other.
func intoAnother(s abi.Session) error {
	if err := export(s, 0); err != nil {
		return err
	}
	scan, stream, err := open(s, 0, 1)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Pump(scan, stream, buf)
		if err != nil {
			return err
		}
		if n == 0 {
			return stream.Close()
		}
	}
}

func closeNothing(s abi.Session) error {
	if err := export(s, 1); err != nil {
		return err
	}
	scan, stream, err := open(s, 0, 0)
	if err != nil {
		return err
	}
	_, err = s.Pump(scan, stream, make([]byte, 64<<10))
	return err
}
