package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// sessionAge is how old a session gets that is no cause for concern.
const sessionAge = time.Hour

// sessions looks for sessions that were announced and have not come to an end.
func (d *doctor) sessions(ctx context.Context, r *Repository) {
	const name = "sessions"
	var list []string
	old := false
	for i, err := range r.catalog.Intents(ctx) {
		if err != nil {
			if errors.Is(err, catalog.ErrDamaged) {
				err = problem(CodeDamaged, err, "remove the file once no snapshot is being taken; until then nothing can be pruned")
			}
			d.fail(name, err)
			return
		}
		age := time.Since(i.Created).Round(time.Second)
		old = old || age > sessionAge
		list = append(list, fmt.Sprintf("%s of %s, %s ago", i.Session, i.Owner, age))
	}
	switch detail := abbreviate(list); {
	case len(list) == 0:
		d.pass(name, "none is under way or was broken off")
	case old:
		d.warn(name, "unless it still runs: the next snapshot goes on from what it has stored, and prune removes what is left", "%s", detail)
	default:
		d.pass(name, "%s", detail)
	}
}

// space looks how much room there is for the next snapshot, in a store that is a
// directory.
func (d *doctor) space() {
	const name = "free space"
	folder := d.cfg.Repository.Dir()
	var stat unix.Statfs_t
	if folder == "" || d.settings.store != nil || unix.Statfs(folder, &stat) != nil || stat.Blocks == 0 {
		return
	}
	free, need := int64(stat.Bavail)*stat.Bsize, int64(0)
	if d.newest != nil {
		need = d.newest.BytesFull
	}
	if free < need+restoreMargin {
		d.warn(name, "make room, or prune", "%d MiB in %s, and a full snapshot takes about %d MiB", free>>20, folder, need>>20)
		return
	}
	d.pass(name, "%d MiB in %s", free>>20, folder)
}

// retention looks whether anything is ever deleted.
func (d *doctor) retention() {
	const name = "retention"
	if policy(d.cfg.Retention).Empty() {
		d.warn(name, "set keep_last or another of [retention]", "the policy is empty: every snapshot stays for ever")
		return
	}
	d.pass(name, "prune has a policy")
}

// strategies loads the module of each strategy that the configuration uses.
func (d *doctor) strategies(ctx context.Context) {
	s := newStrategies(d.cfg, d.settings)
	for _, name := range d.cfg.Used() {
		check := "strategy " + name
		if err := s.current.check(ctx, name); err != nil {
			d.fail(check, err)
			continue
		}
		module := s.current.provenance(name).Module
		if module == "" {
			d.pass(check, "it runs natively")
			continue
		}
		d.pass(check, "its module has sha256 %s", module)
	}
	if err := s.close(ctx); err != nil {
		d.settings.log.Warn("close modules", "error", err)
	}
}

// database looks whether there is a database, and who has it open. Where nobody
// has, its MANIFEST is read, which says what belongs to it.
func (d *doctor) database() {
	const name = "database"
	path := d.cfg.Database.Path
	if _, err := os.Stat(filepath.Join(path, "CURRENT")); err != nil {
		d.fail(name, databaseProblem(path, err))
		return
	}
	pid, locked := lockedBy(filepath.Join(path, "LOCK"))
	switch {
	case locked && pid != os.Getpid() && d.cfg.Database.Mode != config.Follow:
		d.warn(name, "stop it, or have it take the snapshots", "%s is in use%s", path, by(pid))
		return
	case locked:
		d.pass(name, "%s is in use%s", path, by(pid))
		return
	}
	set, err := version.Read(path)
	if err != nil {
		d.fail(name, fmt.Errorf("read database %s: %w", path, err))
		return
	}
	d.pass(name, "%s, with %d column families", path, len(set.Families))
}

func by(pid int) string {
	if pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}

// lockedBy returns the process that holds RocksDB's lock on a database, as far as
// the system tells: of some locks it does not say whose they are, and then it is -1.
// It must not open the file to ask, because closing it again would release the lock of
// a RocksDB in this very process.
func lockedBy(path string) (pid int, locked bool) {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return 0, false
	}
	table, err := os.Open("/proc/locks")
	if err != nil {
		return 0, false
	}
	defer table.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // number, kind, advisory, access, process, file, range
		if len(fields) > 5 && fields[5] == file {
			_, err := fmt.Sscan(fields[4], &pid)
			return pid, err == nil
		}
	}
	return 0, false
}
