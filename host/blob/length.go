package blob

import "io"

// Sized is a body that may know its length before it is read.
type Sized interface {
	// Length returns the length of the body in bytes, or -1. A body may still turn
	// out shorter or longer, as a file may that somebody writes to.
	Length() int64
}

// Length asks a body that is [Sized]; of others it is -1.
func Length(r io.Reader) int64 {
	if sized, ok := r.(Sized); ok {
		return sized.Length()
	}
	return -1
}

// Length asks the body that is read.
func (s *limitedSource) Length() int64 { return Length(s.source) }

// Length asks the body that is read.
func (m *meter) Length() int64 { return Length(m.Reader) }
