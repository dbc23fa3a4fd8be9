package host_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// threatPaths: package abi proves that no function takes a path. What is left is
// to import one from elsewhere.
func threatPaths(t *testing.T) {
	for _, name := range []string{"path_open", "fd_readdir", "fd_read", "fd_seek", "path_symlink", "sock_accept", "fd_pread"} {
		t.Run(name, func(t *testing.T) {
			file := hostileWAT(t, fmt.Sprintf(`(import "wasi_snapshot_preview1" %q (func (param i32) (result i32)))`, name))
			newLab(t, intruder{file: file}).requireFails("import wasi_snapshot_preview1."+name, "does not exist in the sandbox")
		})
	}
	t.Run("what is allowed finds no files", func(t *testing.T) {
		l := newLab(t, intruder{file: hostileWAT(t, `
(import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
(memory (export "memory") 1)
(func (export "rocksnap_snapshot") (result i32)
  (if (i32.eqz (call $fd_prestat_get (i32.const 3) (i32.const 0))) (then (return (i32.const -14))))
  (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call $environ_sizes_get (i32.const 8) (i32.const 12)))
  (if (i32.or (i32.load (i32.const 0)) (i32.load (i32.const 8))) (then (return (i32.const -14))))
  (i32.const -9))`)})
		l.requireFails("not implemented")
	})
}

// threatExfiltration: what is not allowed does not even load, and what is leads
// to nobody but the repository.
func threatExfiltration(t *testing.T) {
	for call, grant := range map[string]string{
		"scan_open": "scan", "stream_open": "stream", "view": "export", "meta_put": "meta", "state_put": "state",
	} {
		t.Run(call, func(t *testing.T) {
			params := map[string]string{"scan_open": "i32 i32 i32", "stream_open": "i32 i32", "view": ""}
			text, ok := params[call]
			if !ok {
				text = "i32 i32 i32 i32"
			}
			file := hostileWAT(t, fmt.Sprintf(`(import "rocksnap_v1" %q (func (param %s) (result i32)))`, call, text))
			l := newLab(t, intruder{file: file, lines: []string{`allow = ["checkpoint", "upload", "reuse"]`}})
			l.requireFails("import rocksnap_v1."+call+" needs a capability", fmt.Sprintf("add %q", grant))
		})
	}
	t.Run("no clock to talk by", func(t *testing.T) {
		l := newLab(t, intruder{file: hostileWAT(t, `
(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(import "rocksnap_v1" "error_set" (func $error_set (param i32 i32)))
(memory (export "memory") 1)
(data (i32.const 128) "0123456789abcdef")
(func (export "rocksnap_snapshot") (result i32) (local $n i32) (local $byte i32)
  (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 0)))
  (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 8)))
  (drop (call $random (i32.const 16) (i32.const 16)))
  (loop $hex
    (local.set $byte (i32.load8_u (local.get $n)))
    (i32.store8 (i32.add (i32.const 256) (i32.shl (local.get $n) (i32.const 1)))
      (i32.load8_u (i32.add (i32.const 128) (i32.shr_u (local.get $byte) (i32.const 4)))))
    (i32.store8 (i32.add (i32.const 257) (i32.shl (local.get $n) (i32.const 1)))
      (i32.load8_u (i32.add (i32.const 128) (i32.and (local.get $byte) (i32.const 15)))))
    (br_if $hex (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 32))))
  (call $error_set (i32.const 256) (i32.const 64))
  (i32.const -7))`)})
		_, first := l.attack()
		l.requireRefused(first)
		_, second := l.attack()
		assert.EqualError(t, second, first.Error(), "a clock or random numbers tell the runs apart")
		l.requireHealthy()
	})
}

// threatSwappedModule puts another module where the pinned one was.
func threatSwappedModule(t *testing.T) {
	good, bad := readFile(t, hostileWAT(t, "")), readFile(t, misdeeds(t))
	pin := fmt.Sprintf(`sha256 = "%x"`, sha256.Sum256(good))
	file := filepath.Join(t.TempDir(), "strategy.wasm")
	write := func(t *testing.T, content []byte) { require.NoError(t, os.WriteFile(file, content, 0o600)) }

	t.Run("before it is read", func(t *testing.T) {
		write(t, bad)
		newLab(t, intruder{file: file, lines: []string{pin}}).requireFails("the configuration pins")
	})
	t.Run("by one bit", func(t *testing.T) {
		for _, at := range []int{0, 4, 8, len(good) / 2, len(good) - 1} {
			tampered := append([]byte{}, good...)
			tampered[at] ^= 1
			write(t, tampered)
			newLab(t, intruder{file: file, lines: []string{pin}}).requireFails("the configuration pins")
		}
	})
	t.Run("after it was read", func(t *testing.T) {
		write(t, good)
		l := newLab(t, intruder{file: file, lines: []string{pin}})
		l.requireFails("neither a checkpoint nor a view") // the pinned one does nothing
		write(t, bad)
		l.requireFails("neither a checkpoint nor a view")
	})
	t.Run("without a pin", func(t *testing.T) {
		write(t, good)
		newLab(t, intruder{file: file, lines: []string{"allow_unpinned = false"}}).requireFails("is not pinned")
	})
	t.Run("in the cache", threatCache)
}

// threatCache damages every file of compiled code. It is only a cache.
func threatCache(t *testing.T) {
	l := newLab(t, intruder{file: hostileWAT(t, "")})
	cache := t.TempDir()
	use := func() {
		t.Helper()
		require.NoError(t, l.Close())
		l.reopen(cache)
		l.requireGoesOn()
	}
	use()
	damaged := 0
	require.NoError(t, filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content := readFile(t, path)
		for at := 0; at < len(content); at += 1 + len(content)/7 {
			content[at] ^= 0xff
		}
		damaged++
		return os.WriteFile(path, content, 0o600)
	}))
	require.Positive(t, damaged)
	use()
}

// threatNeighbour imports what belongs to another module of the same process.
func threatNeighbour(t *testing.T) {
	for name, text := range map[string]string{
		"its memory":     `(import "native-full" "memory" (memory 1))`,
		"its function":   `(import "native-full" "rocksnap_snapshot" (func (result i32)))`,
		"an anonymous":   `(import "" "memory" (memory 1))`,
		"the host's own": `(import "rocksnap_v1" "memory" (memory 1))`,
		"a global":       `(import "env" "stack" (global (mut i32)))`,
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(text, "(memory") {
				text += ` (memory (export "memory") 1)`
			}
			file := assembled(t, `(module `+text+`
(func (export "rocksnap_abi") (result i32) (i32.const 65536)) (func (export "rocksnap_init") (result i32) (i32.const 0))
(func (export "rocksnap_prepare") (result i32) (i32.const 0)) (func (export "rocksnap_snapshot") (result i32) (i32.const 0)))`)
			newLab(t, intruder{file: file}).requireFails("load strategy", "import ")
		})
	}
}
