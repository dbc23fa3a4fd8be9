package scenarios

import (
	"os"
	"testing"

	"github.com/rocksnap/rocksnap/host"
)

func TestMain(m *testing.M) {
	host.RunChild() // which compiles modules that are not in the cache
	os.Exit(m.Run())
}
