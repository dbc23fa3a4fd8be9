package remote

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// slack is what a child may use beside the memory and the stack of its guest:
// compiled code, the runtime's own, and what crosses the pipes. Go and the C library
// reserve more than they use, and reserved memory counts.
const slack = 512 << 20

// shrink bounds this process before it sees the module. A guest never reaches the
// limits of memory, since its own is bounded: what does has broken out.
func shrink(l strategy.Limits) error {
	debug.SetTraceback("none") // the first line says what the process died of
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	// When the machine runs out of memory, the guest goes first.
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	return child.Confine(child.Limits{Memory: l.Memory + l.Stack + slack, FileSize: 256 << 20, Files: 64})
}

// allowed are the system calls that a Go program makes whose files are all open:
// it waits, has memory and threads of its own, and speaks through its pipes. All
// others fail with EPERM, so there are no files, no network, no other programs.
var allowed = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_PREAD64,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_RESTART_SYSCALL,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// architectures are those that the filter knows.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Offsets into what a filter is given.
const (
	atNumber       = 0
	atArchitecture = 4
	atArgument     = 16
)

const refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

// enclose ends the access of this process to everything but its pipes and its own
// memory, in all its threads and for ever.
func enclose() error {
	program, err := filter(uint32(os.Getpid()))
	if err != nil {
		return err
	}
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	left, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return fmt.Errorf("enclose the process: %w", errno)
	}
	if left != 0 {
		return fmt.Errorf("enclose the process: thread %d is left out", left)
	}
	return nil
}

// filter is the program that the kernel runs at each system call of the process
// with the given id.
func filter(pid uint32) ([]unix.SockFilter, error) {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, errors.New("enclose the process: not known how on " + runtime.GOARCH)
	}
	f := []unix.SockFilter{load(atArchitecture), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: arch}, give(unix.SECCOMP_RET_KILL_PROCESS), load(atNumber)}
	for _, number := range allowed {
		f = append(f, skipUnless(number, 1), give(unix.SECCOMP_RET_ALLOW))
	}
	// Threads, but no processes. The C library makes them by clone when there is
	// no clone3, whose arguments a filter cannot see.
	f = append(f, skipUnless(unix.SYS_CLONE3, 1), give(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	f = append(f, skipUnless(unix.SYS_CLONE, 4), load(atArgument),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: unix.CLONE_THREAD}, give(unix.SECCOMP_RET_ALLOW), give(refused))
	// Signals between its own threads, by which Go preempts them.
	f = append(f, skipUnless(unix.SYS_TGKILL, 4), load(atArgument), skipUnless(pid, 1), give(unix.SECCOMP_RET_ALLOW), give(refused))
	return append(f, give(refused)), nil
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// skipUnless jumps over count instructions when what was loaded is something else.
func skipUnless(value uint32, count uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: count, K: value}
}

func give(verdict uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
}
