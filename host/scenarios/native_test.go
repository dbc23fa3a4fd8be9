package scenarios

import (
	"context"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// inHost runs the strategies for files without a sandbox, where many workers would
// each load the same module.
var inHost = dbtest.Native()[:2]

// noted is the strategy of increments, and writes down what it is told.
type noted struct {
	dbtest.Files
	heard *notes
}

// notes are notifications, in order.
type notes struct {
	mu   sync.Mutex
	list []abi.Notification
}

func (n noted) Notify(_ context.Context, _ abi.Session, note abi.Notification) error {
	n.heard.mu.Lock()
	defer n.heard.mu.Unlock()
	n.heard.list = append(n.heard.list, note)
	return nil
}
