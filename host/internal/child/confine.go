package child

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits bound what a child may use. A zero field leaves that limit as it is.
type Limits struct {
	Memory   int64         // bytes of writable memory beyond what it has already, stacks included
	CPU      time.Duration // of all threads together, rounded up to seconds
	FileSize int64         // bytes of a file that it writes
	Files    int           // open at a time
}

// Confine bounds the process that calls it, for good. It leaves no core file
// behind, cannot win privileges, and may neither start programs nor speak to
// other processes or the network. A task calls it before it reads anything.
//
// The address space is left alone, since Go reserves much more than it uses.
func Confine(l Limits) error {
	if l.Memory > 0 {
		have, err := writable()
		if err != nil {
			return err
		}
		l.Memory += have
	}
	seconds := int64((l.CPU + time.Second - 1) / time.Second)
	for resource, value := range map[int]int64{
		unix.RLIMIT_DATA: l.Memory, unix.RLIMIT_CPU: seconds, unix.RLIMIT_FSIZE: l.FileSize, unix.RLIMIT_NOFILE: int64(l.Files),
	} {
		if value == 0 {
			continue
		}
		if err := bound(resource, value); err != nil {
			return err
		}
	}
	if err := bound(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	return filter()
}

// writable returns what the kernel counts towards the limit of memory: much of it
// is set aside by libraries, and never touched.
func writable() (bytes int64, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmData:")
	if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
		return 0, fmt.Errorf("read VmData of this process: %w", err)
	}
	return bytes << 10, nil
}

func bound(resource int, value int64) error {
	limit := unix.Rlimit{Cur: uint64(value), Max: uint64(value)}
	if err := unix.Setrlimit(resource, &limit); err != nil {
		return fmt.Errorf("limit resource %d to %d: %w", resource, value, err)
	}
	return nil
}

// refused lists system calls that lead out of the process. What a Go program
// needs for itself is not among them.
var refused = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_KILL, unix.SYS_PIDFD_OPEN, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_KEYCTL,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_SHMGET,
}

// filter gives up privileges and the refused calls, in every thread. The filter
// is what carries it to threads that Go has already started. A kernel without
// filters does without.
func filter() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	rules := program()
	p := unix.SockFprog{Len: uint16(len(rules)), Filter: &rules[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(rules)
	if errno != 0 && errno != unix.ENOSYS && errno != unix.EINVAL {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

// program is the filter: calls of another architecture, or listed in refused,
// fail with EPERM.
func program() []unix.SockFilter {
	const number, arch = 0, 4 // offsets in what the kernel shows of a call
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	verdict := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	allow, deny := verdict(unix.SECCOMP_RET_ALLOW), verdict(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	own, known := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !known {
		return []unix.SockFilter{allow}
	}
	rules := []unix.SockFilter{
		load(arch), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: own, Jt: 1}, deny,
		load(number), {Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 1 << 30, Jf: 1}, deny, // the x32 names of the same calls
	}
	for _, call := range refused {
		rules = append(rules, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1}, deny)
	}
	return append(rules, allow)
}
