package rocks

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A column family of one table, or of tables that all overlap, is cut within them,
// however unlike its keys are.
func TestSplitWithinTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{Families: []string{"overlapping"}, Compression: "none", WriteBufferBytes: 64 << 20, TableBytes: 64 << 20})
	for _, prefix := range []string{"a", "tenant-1/a long name that all of them have/", "tenant-1/a long name that all of them have/z"} {
		for i := range 2 {
			records := sample(2000*i, 2000*i+2000, 1000)
			for j := range records {
				records[j].key = prefix + records[j].key
			}
			put(t, db, "default", records...)
			for j := range records {
				records[j].key = fmt.Sprint(j%10, i, records[j].key)
			}
			put(t, db, "overlapping", records...)
			if i == 1 {
				require.NoError(t, db.instance.flush(db.instance.families[1]))
			}
		}
	}
	require.NoError(t, db.Flush())
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	for _, f := range v.Families() {
		whole, err := read(t, v, f.ID, nil, nil, 1<<20)
		require.NoError(t, err)
		for _, n := range []int{2, 3, 8} {
			cuts := v.Split(f.ID, n)
			require.Len(t, cuts, n-1, f.Name)
			var lower []byte
			var all []record
			for _, upper := range append(cuts, nil) {
				part, err := read(t, v, f.ID, lower, upper, 1<<20)
				require.NoError(t, err)
				assert.InEpsilon(t, len(whole)/n, len(part), 0.25, "%s, part before %q of %d", f.Name, upper, n)
				all = append(all, part...)
				lower = upper
			}
			assert.Equal(t, whole, all)
		}
	}
}

func FuzzBetween(f *testing.F) {
	f.Add([]byte("a"), []byte("b"))
	f.Add([]byte("ab"), []byte("ab\x00"))
	f.Add([]byte("prefix-1"), []byte("prefix-2"))
	f.Add([]byte("0000000\xff"), []byte("0000001\x00"))
	f.Add([]byte{}, []byte{0})
	f.Fuzz(func(t *testing.T, low, high []byte) {
		if string(low) >= string(high) {
			return
		}
		far := high
		for range findSteps {
			key := between(low, high)
			if key == nil {
				break
			}
			require.Less(t, string(low), string(key))
			require.Less(t, string(key), string(high))
			high = key
		}
		if len(low) > 0 && len(far) > 0 && int(low[0])+1 < int(far[0]) {
			require.NotNil(t, between(low, far))
		}
	})
}
