package rocks

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLeaseDelaysClose(t *testing.T) {
	var l lease
	first, err := l.acquire("db")
	require.NoError(t, err)
	second, err := l.acquire("db")
	require.NoError(t, err)
	var finished atomic.Int32
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() { l.close(func() { finished.Add(1) }) })
	}
	first()
	first() // must not stand for the second
	require.Eventually(t, func() bool {
		release, err := l.acquire("db")
		if err == nil {
			release()
		}
		return err != nil
	}, time.Second, time.Millisecond)
	third := l.share()
	second()
	time.Sleep(10 * time.Millisecond)
	assert.Zero(t, finished.Load())
	third()
	closers.Wait()
	assert.EqualValues(t, 1, finished.Load())
	_, err = l.acquire("db")
	assert.ErrorIs(t, err, ErrClosed)
}

// Whatever runs when Close comes either works or is refused.
func TestCloseNeverRacesUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{})
	put(t, db, "default", sample(0, 1000, 50)...)
	uses := map[string]func(i int) error{
		"checkpoint": func(int) error {
			return db.Checkpoint(filepath.Join(filepath.Dir(path), CheckpointName()), FlushNever)
		},
		"write": func(i int) error { return db.PutBlock("default", pack(sample(i, i+1, 10)...)) },
		"scan": func(int) error {
			v, err := db.View()
			if err != nil {
				return err
			}
			s, err := v.Scan(0, nil, nil)
			v.Close()
			if err != nil {
				return err
			}
			defer s.Close()
			_, _, err = s.Next(make([]byte, 1<<10))
			return err
		},
		"live": func(int) error { _, err := db.Live(); return err },
	}
	var group sync.WaitGroup
	var worked sync.WaitGroup
	for name, use := range uses {
		worked.Add(1)
		group.Go(func() {
			first := sync.OnceFunc(worked.Done)
			for i := 0; ; i++ {
				if err := use(i); err != nil {
					assert.ErrorIs(t, err, ErrClosed, name)
					first()
					return
				}
				first()
			}
		})
	}
	worked.Wait()
	require.NoError(t, db.Close())
	group.Wait()
	assert.Empty(t, db.Property("default", "rocksdb.estimate-num-keys"))
	require.NoError(t, hold(t, path).Close())
}
