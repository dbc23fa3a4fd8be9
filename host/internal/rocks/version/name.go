package version

import (
	"strconv"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// affixes says how RocksDB names its files (file/filename.cc): a number of six
// digits or more with one of these before or behind it.
var affixes = []struct {
	prefix, suffix string
	kind           abi.Kind
}{
	{"", ".sst", abi.KindTable},
	{"", ".blob", abi.KindBlob},
	{"", ".log", abi.KindWAL},
	{"MANIFEST-", "", abi.KindManifest},
	{"OPTIONS-", "", abi.KindOptions},
}

// FileKind returns the kind and the number of the database file with the given
// name; CURRENT has number 0. It returns false for every other name, such as
// those of temporary files, LOG, LOCK and IDENTITY.
func FileKind(name string) (abi.Kind, uint64, bool) {
	if name == "CURRENT" {
		return abi.KindCurrent, 0, true
	}
	for _, a := range affixes {
		digits, found := strings.CutPrefix(name, a.prefix)
		if !found {
			continue
		}
		digits, found = strings.CutSuffix(digits, a.suffix)
		if !found {
			continue
		}
		// One number has one name: this refuses signs and surplus zeros.
		n, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && a.prefix+fileName(n, a.suffix) == name {
			return a.kind, n, true
		}
	}
	return 0, 0, false
}

func fileName(number uint64, suffix string) string {
	const zeros = "000000"
	digits := strconv.FormatUint(number, 10)
	return zeros[min(len(digits), len(zeros)):] + digits + suffix
}
