package remote

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// shrink takes from this process what it never needs.
func shrink() error {
	quiet()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	// When the machine runs out of memory, the guest goes first.
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	return bound(map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 64, unix.RLIMIT_FSIZE: 1 << 30})
}

// limit bounds the memory of this process. A guest never reaches it, since its
// own is bounded: what does has broken out.
func limit(l strategy.Limits) error {
	return bound(map[int]uint64{unix.RLIMIT_DATA: uint64(l.Memory) + uint64(l.Stack) + slack})
}

func bound(limits map[int]uint64) error {
	for resource, value := range limits {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("limit resource %d of the process to %d: %w", resource, value, err)
		}
	}
	return nil
}
