package guest

import (
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

func (session) ScanOpen(family, firstGroup, lastGroup uint32) (abi.Scan, error) {
	handle, err := count("scan_open", scanOpen(family, firstGroup, lastGroup))
	if err != nil {
		return nil, err
	}
	return &scan{handle: uint32(handle)}, nil
}

func (session) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	memory := abi.Bytes([]abi.StreamSpec{spec})
	handle, err := count("stream_open", streamOpen(pointer(memory), length(memory)))
	if err != nil {
		return nil, err
	}
	return &stream{handle: uint32(handle)}, nil
}

func (session) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	sc, ok := from.(*scan)
	st, also := to.(*stream)
	if !ok || !also {
		return 0, fmt.Errorf("pump: not a scan and a stream of this session: %w", abi.EINVAL)
	}
	return count("pump", pump(sc.handle, st.handle, pointer(buf), length(buf)))
}

// scan is a handle; 0 once it is closed.
type scan struct{ handle uint32 }

func (s *scan) Next(buf []byte) (int, error) {
	return count("scan_next", scanNext(s.handle, pointer(buf), length(buf)))
}

func (s *scan) Need() int {
	n, _ := count("scan_need", scanNeed(s.handle))
	return n
}

func (s *scan) Close() error {
	if s.handle == 0 {
		return nil
	}
	handle := s.handle
	s.handle = 0
	return check("scan_close", scanClose(handle))
}

// stream is a handle.
type stream struct{ handle uint32 }

func (s *stream) Write(p []byte) (int, error) {
	return count("stream_write", streamWrite(s.handle, pointer(p), length(p)))
}

func (s *stream) Close() error { return check("stream_close", streamClose(s.handle)) }
