package s3

import "time"

// NewForSizes returns a store that can only cut bodies into parts.
func NewForSizes(partSize int64) *Store { return &Store{partSize: partSize} }

// PartBytes returns the size of the n-th part.
func (s *Store) PartBytes(n int32) int64 { return s.partBytes(n) }

// Hurry makes the pauses between tries short.
func (s *Store) Hurry() { s.pause = time.Millisecond }

// Private says whether bodies go unsigned to an endpoint.
var Private = private

// ChunkSize is how much of an object is asked for at once.
const ChunkSize = chunkSize
