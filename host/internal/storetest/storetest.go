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
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
)

// EnvStores, when it is set, runs the tests that need MinIO and rclone.
const EnvStores = "ROCKSNAP_TEST_STORES"

const (
	accessKey = "rocksnap-test"
	secretKey = "rocksnap-test-secret"
	region    = "us-east-1"
	startTime = 30 * time.Second
	buckets   = 300 // of a server
)

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
	return s3.Options{Bucket: s.Bucket, Endpoint: s.Endpoint, Region: region, PathStyle: true}
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
	return start(t, "versitygw", func(address, root string) *exec.Cmd {
		return exec.Command(binary(t, "versitygw"), "--quiet", "--port", address, "--access", accessKey, "--secret", secretKey, "posix", root)
	})
}

// MinIO starts MinIO, or skips the test unless [EnvStores] is set.
func MinIO(t testing.TB) Server {
	t.Helper()
	wanted(t)
	return start(t, "minio", func(address, root string) *exec.Cmd {
		cmd := exec.Command(binary(t, "minio"), "server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", root)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+secretKey)
		return cmd
	})
}

// Rclone starts "rclone serve s3", or skips the test unless [EnvStores] is set.
func Rclone(t testing.TB) Server {
	t.Helper()
	wanted(t)
	return start(t, "rclone", func(address, root string) *exec.Cmd {
		return exec.Command(binary(t, "rclone"), "--config", "/dev/null", "serve", "s3", "--addr", address, "--auth-key", accessKey+","+secretKey, root)
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
func start(t testing.TB, name string, command func(address, root string) *exec.Cmd) Server {
	t.Helper()
	address, root := freeAddress(t), newRoot(t)
	cmd := command(address, root)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	ended := run(t, cmd)
	s := Server{Endpoint: "http://" + address, AccessKey: accessKey, SecretKey: secretKey, used: new(atomic.Int64)}
	for deadline := time.Now().Add(startTime); !answers(address); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v\n%s", name, err, output.String())
		default:
			require.True(t, time.Now().Before(deadline), "%s does not answer on %s", name, address)
		}
	}
	return s.NewBucket(t)
}

// run starts a command and kills it when the test ends, or when the process of
// the test dies. For the latter the kernel watches the thread that started the
// command, so that thread has to live as long.
func run(t testing.TB, cmd *exec.Cmd) (ended <-chan error) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, end := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			end <- cmd.Wait()
			close(end)
		}
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		for range end {
		}
	})
	return end
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

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// answers reports that somebody listens and does not hang up.
func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
