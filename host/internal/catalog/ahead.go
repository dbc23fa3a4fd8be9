package catalog

import (
	"context"
	"errors"
)

// Flush writes down what was noted, so that handing over takes no time.
func (s *Session) Flush(ctx context.Context) error { return s.notes.flush(ctx) }

// Current fails with [ErrFenced] once a newer writer has come: then nothing that is
// stored from now on is of any use.
func (s *Session) Current(ctx context.Context) error {
	_, err := s.writer.look(ctx)
	return err
}

var errHandedOver = errors.New("handed over")

// HandOver ends a session that stores for others and commits nothing. What it has
// noted stays, and its intent with it, until a session that begins later has claimed
// what it needs and was committed. Without notes nothing stays.
func (s *Session) HandOver(ctx context.Context) error { return s.Close(ctx, errHandedOver) }
