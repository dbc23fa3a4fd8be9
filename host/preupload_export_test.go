package host

import (
	"context"
	"time"
)

// WithPace has files stored between snapshots sooner than usual.
func WithPace(every, age time.Duration) Option {
	return func(s *settings) { s.pace = pace{every, age} }
}

// StoreAhead does at once what a host does between snapshots.
func StoreAhead(ctx context.Context, h *Host) error { return h.preupload.round(ctx) }
