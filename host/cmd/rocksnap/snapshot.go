package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) snapshotVerb() *cobra.Command {
	var f snapshotFlags
	cmd := verb("snapshot", "Take a snapshot", `Takes a snapshot of the database with the strategy that [snapshot] strategy or
--strategy names. The database must not be open elsewhere; it is not changed,
unless [snapshot] flush = "always" asks for it.

Each --meta FILE travels with the snapshot as application metadata, under the
file's base name; together they have at most 1 MiB.

What a snapshot that was broken off has stored is not sent again.

With --explain it tells what made the new bytes, as 'rocksnap plan' does.

With --savepoint it holds all that it needs by itself, and no later snapshot
builds on it. It is in the repository under savepoints/, in a folder with its id,
which 'rocksnap restore --from' restores wherever it was copied or moved. It is
of the strategy native-full with --native, and canonical with --canonical. One
that was broken off begins anew.

With --link files that never change are not copied into the repository, which
must be a folder on the same file system, not encrypted: they become objects by a
second name. This takes no room and is not a backup, as what happens to the disk
or to such a file happens to the snapshot, and lists say so. Later snapshots
without --link store these files anew.

With --group ID it takes part in a group snapshot: every member of [group] takes
its own with the same ID, a new one each time, and all of them count together or
not at all. It waits for the others, for [group] timeout at most. Repeated after
a crash it goes on waiting with what it had stored.

With --every it stays and takes one snapshot after the other, until it is
interrupted or has taken --count. The configuration is read again on SIGHUP and
when it, or a module that it names, has changed; a wrong one is reported, and
the former one stays. So is a snapshot that fails, and the next one is tried.

Exit status: 0 ok, 1 failed, 2 usage, 3 some of --count failed,
10 no repository, 11 fenced or locked, 12 key, 20 damage found, 30 plugin
refused or failed, 130 interrupted.`,
		`  rocksnap snapshot
  rocksnap snapshot --every 10m
  rocksnap snapshot --savepoint --native
  rocksnap snapshot --strategy canonical --label release=1.4 --meta offsets.json`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			strategy, o, err := f.options(cmd)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("every") || cmd.Flags().Changed("count") {
				f.series.explain = f.explain
				return c.snapshots(cmd, strategy, f.series, o)
			}
			return c.snapshot(cmd, strategy, f.explain, o)
		})
	f.register(cmd.Flags())
	c.completeStrategies(cmd)
	return cmd
}

// readSmall reads a file, but no more than limit bytes: a device, or a database
// named by mistake, does not fill the memory.
func readSmall(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(content) > limit {
		err = fmt.Errorf("with %s there is more than %s of metadata", path, size(abi.MaxMeta))
	}
	return content, err
}

func (c *cli) snapshot(cmd *cobra.Command, strategy string, explain bool, o host.SnapshotOptions) error {
	cfg, err := c.loadFor(cmd, strategy)
	if err != nil {
		return err
	}
	report, done := c.progress(true)
	resumed := &resumption{report: report}
	h, err := host.Open(cmd.Context(), cfg, c.options(resumed.watch, access(cfg)...)...)
	if err != nil {
		return err
	}
	defer h.Close()
	m, err := h.Snapshot(cmd.Context(), o)
	done()
	if err != nil {
		return err
	}
	if err := c.printSnapshot(m, resumed.bytes.Load(), folderOf(cfg, m)); err != nil || !explain || c.json {
		return err
	}
	return c.printCauses(host.Explain(m))
}

// folderOf returns the URL of a savepoint's folder; "" for any other snapshot.
func folderOf(cfg *config.Config, m *host.Manifest) string {
	if !m.Savepoint {
		return ""
	}
	return strings.TrimSuffix(cfg.Repository.URL, "/") + "/savepoints/" + m.ID
}

// warnLinked says what a snapshot is not, which its name promises.
func (c *cli) warnLinked(m *host.Manifest) {
	if m.Linked && !c.json {
		fmt.Fprintln(c.err, "warning: it is not a backup: its objects are files of the database itself, and share their fate")
	}
}

// loadFor reads the configuration with the strategy that a flag chooses, if given.
func (c *cli) loadFor(cmd *cobra.Command, strategy string) (*config.Config, error) {
	chosen := strategy != "" || cmd.Flags().Changed("strategy")
	if chosen && strategy == "" {
		return nil, usage(cmd, "--strategy needs a name")
	}
	cfg, err := config.Load(c.config)
	if err != nil || !chosen {
		return cfg, err
	}
	return cfg, cfg.Select(strategy, "--strategy")
}

// access opens the database for writing only where a flush needs it, so that
// taking a snapshot changes nothing and starts no compaction.
func access(cfg *config.Config) []host.Option {
	if cfg.Snapshot.Flush == config.FlushAlways {
		return nil
	}
	return []host.Option{host.Offline()}
}

// warnFallback says what people might otherwise overlook. With --json the document
// has it.
func (c *cli) warnFallback(m *host.Manifest) {
	if s := m.Strategy; s.FallbackFor != "" && !c.json {
		fmt.Fprintf(c.err, "warning: strategy %s failed (%s); took the snapshot with %s instead\n", plain(s.FallbackFor), plain(s.FallbackReason), plain(s.Name))
	}
}

type snapshotDocument struct {
	Schema      string            `json:"schema"`
	ID          string            `json:"id"`
	Strategy    string            `json:"strategy"`
	Kind        string            `json:"kind"`
	Files       int               `json:"files"`
	BytesFull   int64             `json:"bytes_full"`
	BytesNew    int64             `json:"bytes_new"`
	BytesReused int64             `json:"bytes_reused"`
	Resumed     int64             `json:"bytes_resumed"` // of the new ones; an earlier attempt had stored them
	Savepoint   bool              `json:"savepoint"`
	URL         string            `json:"url,omitempty"` // of a savepoint, for restore --from
	PrepareMs   float64           `json:"prepare_ms"`
	TotalMs     float64           `json:"total_ms"`
	Epoch       uint64            `json:"epoch"`
	Causes      []host.Cause      `json:"causes"` // what made the new bytes
	Labels      map[string]string `json:"labels"`

	FallbackFor    string `json:"fallback_for,omitempty"`
	FallbackReason string `json:"fallback_reason,omitempty"`
	Group          string `json:"group,omitempty"`  // NAME/ID; it is committed
	Linked         bool   `json:"linked,omitempty"` // it is not a backup
}

func (c *cli) printSnapshot(m *host.Manifest, resumed int64, folder string) error {
	c.warnFallback(m)
	c.warnLinked(m)
	if c.json {
		return c.print(snapshotDocument{
			"rocksnap.snapshot/1", m.ID, m.Strategy.Name, m.Kind, m.Files, m.BytesFull, m.BytesNew, m.BytesReused,
			resumed, m.Savepoint, folder, m.PrepareMs, m.TotalMs, m.Epoch, host.Explain(m), filled(m.Labels),
			m.Strategy.FallbackFor, m.Strategy.FallbackReason, m.Group, m.Linked,
		})
	}
	t := c.table()
	t.row("snapshot", m.ID)
	if m.Group != "" {
		t.row("group", m.Group+", committed")
	}
	t.row("strategy", m.Strategy.Name)
	t.row("kind", linked(m.Kind, m.Linked))
	t.row("files", m.Files)
	t.row("bytes", fmt.Sprintf("%s full, %s new, %s reused", size(m.BytesFull), size(m.BytesNew), size(m.BytesReused)))
	if folder != "" {
		t.row("savepoint", folder)
	}
	if resumed > 0 {
		t.row("resumed", size(resumed))
	}
	t.row("time", fmt.Sprintf("%.1f ms prepare, %.1f ms total", m.PrepareMs, m.TotalMs))
	return t.flush()
}

// filled returns labels that are an object in JSON even when there are none.
func filled(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}
