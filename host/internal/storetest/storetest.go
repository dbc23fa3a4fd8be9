// Package storetest starts real servers that speak S3, on the loopback and each
// with a directory of its own, for tests. "make tools" installs them.
//
// They differ, and stores have to do without what one of them lacks:
//
//	                                            versitygw 1.8  MinIO 2026-02  rclone 1.76
//	If-None-Match of PUT and of a completion    yes            yes            yes
//	CRC32C of an object, put in one request     yes            yes            yes
//	CRC32C of an object, put in parts           yes            yes            no
//	CRC32C of stored parts, for going on        yes            yes            no
//	unfinished uploads listed by a prefix       yes            no             yes
package storetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/loopback"
)

// EnvStores, when it is set, runs the tests that need MinIO and rclone.
const EnvStores = "ROCKSNAP_TEST_STORES"

const buckets = 300 // of a server

// Server is a server that runs until the test ends.
type Server struct {
	Endpoint  string // URL
	AccessKey string
	SecretKey string
	Bucket    string
	used      *atomic.Int64 // buckets
}

// Options returns how to reach the bucket. The credentials are those that
// [Server.Env] sets.
func (s Server) Options() s3.Options {
	return s3.Options{Bucket: s.Bucket, Endpoint: s.Endpoint, Region: loopback.Region, PathStyle: true}
}

// Env gives the credentials to this process and its children, and keeps those of
// the machine out, for as long as the test runs.
func (s Server) Env(t testing.TB) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": s.AccessKey, "AWS_SECRET_ACCESS_KEY": s.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(key, value)
	}
}

// NewBucket returns the server with another, empty bucket.
func (s Server) NewBucket(t testing.TB) Server {
	t.Helper()
	n := s.used.Add(1)
	require.LessOrEqual(t, n, int64(buckets))
	s.Bucket = bucketName(n)
	return s
}

func bucketName(n int64) string { return fmt.Sprintf("bucket-%d", n) }

// Versity starts the server that every run of the tests needs.
func Versity(t testing.TB) Server {
	t.Helper()
	return start(t, func(address, root string) *exec.Cmd { return loopback.Versity(binary(t, "versitygw"), address, root) })
}

// MinIO starts MinIO, or skips the test unless [EnvStores] is set.
func MinIO(t testing.TB) Server {
	t.Helper()
	wanted(t)
	return start(t, func(address, root string) *exec.Cmd {
		cmd := exec.Command(binary(t, "minio"), "server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", root)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+loopback.AccessKey, "MINIO_ROOT_PASSWORD="+loopback.SecretKey)
		return cmd
	})
}

// Rclone starts "rclone serve s3", or skips the test unless [EnvStores] is set.
func Rclone(t testing.TB) Server {
	t.Helper()
	wanted(t)
	return start(t, func(address, root string) *exec.Cmd {
		return exec.Command(binary(t, "rclone"), "--config", "/dev/null", "serve", "s3", "--addr", address, "--auth-key", loopback.AccessKey+","+loopback.SecretKey, root)
	})
}

func wanted(t testing.TB) {
	t.Helper()
	if os.Getenv(EnvStores) == "" {
		t.Skipf("%s is not set", EnvStores)
	}
}

// binary returns the path of an installed server.
func binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	path := filepath.Join(dir, "bin", "tools", name)
	require.FileExists(t, path, "run 'make tools'")
	return path
}

// start runs a server until the test ends and returns it with its first bucket.
func start(t testing.TB, command func(address, root string) *exec.Cmd) Server {
	t.Helper()
	root := newRoot(t)
	running, err := loopback.Start(context.Background(), func(address string) *exec.Cmd { return command(address, root) })
	require.NoError(t, err)
	t.Cleanup(running.Close)
	s := Server{Endpoint: "http://" + running.Address, AccessKey: loopback.AccessKey, SecretKey: loopback.SecretKey, used: new(atomic.Int64)}
	return s.NewBucket(t)
}

// newRoot returns a folder with all the buckets that there will be: all of these
// servers take a folder for a bucket, but rclone only when it is there at the
// start. It is in memory where there is a file system for that: what these tests are about is not the disk of a server.
func newRoot(t testing.TB) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "rocksnap-test")
	if err != nil || syscall.Setxattr(root, "user.test", nil, 0) != nil {
		root = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) }) // what is left is in nobody's way
	for n := range int64(buckets) {
		require.NoError(t, os.Mkdir(filepath.Join(root, bucketName(n+1)), 0o755))
	}
	return root
}
