package bench

import (
	"bufio"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Machine is what the figures were taken on.
type Machine struct {
	Cores      int               `json:"cores"`
	Processor  string            `json:"processor,omitempty"`
	Memory     int64             `json:"memory_bytes"`
	FileSystem string            `json:"file_system"`
	Kernel     string            `json:"kernel"`
	Versions   map[string]string `json:"versions"` // of programs, by name
}

// fileSystems are the magic numbers of statfs(2).
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs", 0x2fc12fc1: "zfs",
}

// Machine looks at the machine, the file system of the ground, and the programs that
// take part.
func (g *Ground) Machine(rocksnap string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Processor: field("/proc/cpuinfo", "model name"), FileSystem: "unknown"}
	m.Versions = map[string]string{"rocksnap": rocksnap, "RocksDB": rocks.Version(), "Go": strings.TrimPrefix(runtime.Version(), "go")}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	var fs unix.Statfs_t
	if unix.Statfs(g.Dir, &fs) == nil {
		m.FileSystem = fileSystems[int64(fs.Type)]
		if m.FileSystem == "" {
			m.FileSystem = fmt.Sprintf("%#x", fs.Type)
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	for _, program := range []string{"restic", "rclone", "versitygw"} {
		if version := g.version(program); version != "" {
			m.Versions[program] = version
		}
	}
	return m
}

// field returns what a file of "name : value" lines says first; "" when it does not.
func field(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// version returns that which a program in Go was built of, or else the first word with
// digits that it prints; "" when there is no such program.
func (g *Ground) version(program string) string {
	path, missing := g.Tools.find(program)
	if missing != "" {
		return ""
	}
	if built, err := buildinfo.ReadFile(path); err == nil && strings.HasPrefix(built.Main.Version, "v") {
		return strings.TrimPrefix(built.Main.Version, "v")
	}
	out, err := exec.Command(path, "version").Output()
	if err != nil {
		return ""
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.ContainsAny(word, "0123456789") && strings.Contains(word, ".") {
			return strings.Trim(word, "v,")
		}
	}
	return "unknown"
}
