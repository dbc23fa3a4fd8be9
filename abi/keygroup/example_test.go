package keygroup_test

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// An application with 128 key groups stores its records under keys with a prefix,
// and gives each of its workers a range of groups. When two workers become three,
// every worker knows which keys it has to have from then on; no key changes.
func Example() {
	const groups = 128
	store := func(key string) []byte {
		prefix := keygroup.Prefix(keygroup.KeyGroup([]byte(key), groups), groups)
		return append(prefix, key...)
	}
	var keys [][]byte
	for _, name := range []string{"ada", "barbara", "edsger", "grace", "tony"} {
		keys = append(keys, store(name))
	}
	slices.SortFunc(keys, bytes.Compare) // as a database holds them

	for _, workers := range []uint32{2, 3} {
		for worker := range workers {
			own, err := keygroup.RangeFor(worker, workers, groups)
			if err != nil {
				panic(err)
			}
			lower, upper := own.Bounds(groups)
			fmt.Printf("worker %d of %d, groups %s:", worker, workers, own)
			for _, key := range keys {
				if bytes.Compare(key, lower) >= 0 && (upper == nil || bytes.Compare(key, upper) < 0) {
					fmt.Printf(" %s", key[keygroup.PrefixBytes(groups):])
				}
			}
			fmt.Println()
		}
	}
	// Output:
	// worker 0 of 2, groups 0-63: barbara ada edsger
	// worker 1 of 2, groups 64-127: tony grace
	// worker 0 of 3, groups 0-42: barbara ada
	// worker 1 of 3, groups 43-85: edsger
	// worker 2 of 3, groups 86-127: tony grace
}
