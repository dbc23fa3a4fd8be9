package dir

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// envWriter makes the test binary a writer of the store in the directory it
// names; the second word is the beginning of its objects' names.
const envWriter = "ROCKSNAP_TEST_WRITER"

func TestMain(m *testing.M) {
	if job := strings.Fields(os.Getenv(envWriter)); len(job) == 2 {
		err := writeUntilKilled(job[0], job[1])
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled creates objects and prints the name of each that is stored.
func writeUntilKilled(root, prefix string) error {
	s, err := Open(root)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/%d/%d", prefix, i%5, i)
		if err := s.Create(context.Background(), name, bytes.NewReader(contentOf(name))); err != nil {
			return err
		}
		fmt.Println(name)
	}
}

// contentOf returns the content that belongs to a name: some hundred kilobytes.
func contentOf(name string) []byte {
	return bytes.Repeat([]byte(name), 50_000+len(name)*1000)
}

// TestKill kills writers at work. Whatever is listed afterwards is whole, and
// whatever was acknowledged is there.
func TestKill(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	acknowledged := map[string]bool{}
	for round := range 6 {
		for _, name := range killWriter(t, root, fmt.Sprintf("round%d", round), 2+3*round) {
			acknowledged[name] = true
		}
	}
	for info, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		requireWhole(t, s, info.Name)
		delete(acknowledged, info.Name)
	}
	require.Empty(t, acknowledged, "acknowledged objects are gone")
}

// killWriter starts a writer, kills it once it has acknowledged some objects,
// and returns all that it has acknowledged.
func killWriter(t *testing.T, root, prefix string, after int) (names []string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envWriter+"="+root+" "+prefix)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		names = append(names, lines.Text())
		if len(names) == after {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.EqualError(t, cmd.Wait(), "signal: killed")
	require.GreaterOrEqual(t, len(names), after)
	return names
}

func requireWhole(t *testing.T, s *Store, name string) {
	t.Helper()
	r, err := s.Open(context.Background(), name, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, contentOf(name)), "%s is not whole: %d bytes", name, len(content))
}

// mountTmp mounts a file system of 1 MiB, or skips the test.
func mountTmp(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := unix.Mount("none", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small file system to fill: mount tmpfs: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(root, unix.MNT_DETACH)) })
	return root
}

func TestFullDisk(t *testing.T) {
	s := newStore(t, filepath.Join(mountTmp(t), "repo"))
	require.NoError(t, put(s, "before", "x"))
	err := s.Create(context.Background(), "big", bytes.NewReader(make([]byte, 4<<20)))
	require.ErrorIs(t, err, unix.ENOSPC)
	require.EqualError(t, err, "create big: store "+s.path+" is full: no space left on device")
	requireNoTmp(t, s)
	require.NoError(t, put(s, "after", "x"), "the space is free again")
	requireNames(t, s, "after", "before")
}

func TestReadOnlyFileSystem(t *testing.T) {
	root := mountTmp(t)
	require.NoError(t, put(newStore(t, root), "a/b", "x"))
	require.NoError(t, unix.Mount("none", root, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	s, err := Open(root)
	require.NoError(t, err)
	requireNames(t, s, "a/b")
	for _, name := range []string{"a/c", "new/d"} {
		err = put(s, name, "x")
		require.ErrorIs(t, err, unix.EROFS)
		require.ErrorContains(t, err, "create "+name+": store "+root+" is read-only")
	}
	require.ErrorIs(t, s.Delete(context.Background(), "a/b"), unix.EROFS)
	requireNames(t, s, "a/b")
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("permission bits do not bind root; TestReadOnlyFileSystem covers it there")
	}
	root := t.TempDir()
	s := newStore(t, root)
	require.NoError(t, os.Chmod(root, 0o555))
	t.Cleanup(func() { assert.NoError(t, os.Chmod(root, 0o755)) })
	err := put(s, "a", "x")
	require.EqualError(t, err, "create a: store "+root+" may not be written: permission denied")
	require.ErrorIs(t, err, unix.EACCES)
}
