package tap

import "github.com/rocksnap/rocksnap/abi"

// ScanOpen implements [abi.Records].
func (s *session) ScanOpen(family, first, last uint32) (abi.Scan, error) {
	opened := &scan{tap: s}
	err := s.act(Call{Name: "scan_open", Args: []int64{int64(family), int64(first), int64(last)}}, func() (err error) {
		opened.Scan, err = s.Session.ScanOpen(family, first, last)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.opened++
	opened.number = s.opened
	return opened, nil
}

// StreamOpen implements [abi.Records].
func (s *session) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	opened := &stream{tap: s}
	err := s.act(Call{Name: "stream_open", In: abi.Bytes([]abi.StreamSpec{spec})}, func() (err error) {
		opened.Stream, err = s.Session.StreamOpen(spec)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.opened++
	opened.number = s.opened
	return opened, nil
}

// Pump implements [abi.Records].
func (s *session) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	in, out := from.(*scan), to.(*stream)
	c := Call{Name: "pump", Args: []int64{in.number, out.number, int64(len(buf))}, Out: buf, unit: 1}
	return in.measured(c, func() (int, error) { return s.Session.Pump(in.Scan, out.Stream, buf) })
}

// scan is a scan with something around its reads. Close is let through: who
// defers it has no use for its error.
type scan struct {
	abi.Scan // nil when it is answered from a recording
	tap      *session
	number   int64
	need     int
}

// measured makes a call that reads from the scan. A recording keeps what a record
// that did not fit would have taken as the number beside the error.
func (s *scan) measured(c Call, do func() (int, error)) (int, error) {
	n, err := s.tap.count(c, func() (int, error) {
		n, err := do()
		if abi.ErrnoOf(err) == abi.EBUF {
			n = s.Scan.Need()
		}
		return n, err
	})
	if err == nil {
		return n, nil
	}
	s.need = n
	return 0, err
}

// Next implements [abi.Scan].
func (s *scan) Next(buf []byte) (int, error) {
	c := Call{Name: "scan_next", Args: []int64{s.number, int64(len(buf))}, Out: buf, unit: 1}
	return s.measured(c, func() (int, error) { return s.Scan.Next(buf) })
}

// Need implements [abi.Scan].
func (s *scan) Need() int { return s.need }

// Close implements [abi.Scan].
func (s *scan) Close() error {
	if s.Scan == nil {
		return nil
	}
	return s.Scan.Close()
}

// stream is a stream with something around its calls.
type stream struct {
	abi.Stream
	tap    *session
	number int64
}

// Write implements [abi.Stream].
func (s *stream) Write(p []byte) (int, error) {
	return s.tap.count(Call{Name: "stream_write", Args: []int64{s.number}, In: p}, func() (int, error) { return s.Stream.Write(p) })
}

// Close implements [abi.Stream].
func (s *stream) Close() error {
	return s.tap.act(Call{Name: "stream_close", Args: []int64{s.number}}, func() error { return s.Stream.Close() })
}
