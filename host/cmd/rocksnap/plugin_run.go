package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/tap"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

// tryout is one run of a module for its author.
type tryout struct {
	options        trial
	subject        strategytest.Subject
	db, store      string
	record, replay string
	fault          string
	faults         []tap.Fault
	traced         bool
	trace          tap.Trace
}

func (c *cli) runVerb() *cobra.Command {
	var r tryout
	cmd := verb("run FILE", "Take a snapshot with a module and watch it", `Takes a snapshot of a database with a module and tells what came of it. The
database must not be open elsewhere and is not changed. Without --store the
snapshot goes to a repository that is gone afterwards.

--trace lists the calls of the module. --fault makes calls fail: CALL[:N]=WHAT,
several by commas, where CALL is the name of a call or *, N counts these calls
from 1, and WHAT is an error number or cancel; the verb fails when there was no
such call. --record writes all calls down with what was given and returned, which
may be data of the database; --replay answers the module from such a FILE, with
no database, and tells where it does otherwise. --verbose shows what the module
logs.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 30 plugin refused, failed or
not as recorded, 130 interrupted.`,
		`  rocksnap plugin run mine.wasm --db data/db --trace
  rocksnap plugin run mine.wasm --db data/db --fault upload:2=EIO
  rocksnap plugin run mine.wasm --db data/db --record run.jsonl
  rocksnap plugin run mine.wasm --replay run.jsonl`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if err := r.check(cmd, args[0]); err != nil {
				return err
			}
			return c.tryOut(cmd, &r)
		})
	r.options.flags(cmd)
	cmd.Flags().StringVar(&r.db, "db", "", "`DIR` of the database")
	cmd.Flags().StringVar(&r.store, "store", "", "`DIR` of a repository to keep the snapshot in; made when it is missing")
	cmd.Flags().StringVar(&r.record, "record", "", "`FILE` for a recording of the calls")
	cmd.Flags().StringVar(&r.replay, "replay", "", "`FILE` with a recording to answer the module from")
	cmd.Flags().StringVar(&r.fault, "fault", "", "`SPEC` of calls that are to fail")
	cmd.Flags().BoolVar(&r.traced, "trace", false, "list the calls of the module")
	return cmd
}

// check makes sense of the command line.
func (r *tryout) check(cmd *cobra.Command, module string) (err error) {
	if (r.db == "") == (r.replay == "") {
		return usage(cmd, "either --db DIR or --replay FILE is needed")
	}
	if r.replay != "" && (r.record != "" || r.store != "" || r.fault != "" || r.options.given()) {
		return usage(cmd, "--replay has no use for --record, --store and --fault, and the options are those of the recording")
	}
	if cmd.Flags().Changed("fault") {
		if r.faults, err = tap.ParseFaults(r.fault); err != nil {
			return usage(cmd, "--fault: %w", err)
		}
	}
	if r.db, err = absolute(r.db); err == nil {
		r.store, err = absolute(r.store)
	}
	if err != nil {
		return usage(cmd, "%w", err)
	}
	r.subject, err = r.options.subject(cmd, module)
	return err
}

// absolute is a path for a configuration in another folder.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

func (c *cli) tryOut(cmd *cobra.Command, r *tryout) error {
	folder, err := os.MkdirTemp("", "rocksnap-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if r.store == "" && r.replay == "" {
		r.store = filepath.Join(folder, "repository")
	}
	cfg, err := r.options.configure(r.subject, r.db, r.store, folder)
	if err != nil {
		return err
	}
	var m *host.Manifest
	if r.replay != "" {
		err = c.replayRun(cmd, cfg, r)
	} else {
		m, err = c.takeRun(cmd.Context(), cfg, r)
	}
	return c.printRun(r, m, err)
}

// takeRun takes the snapshot.
func (c *cli) takeRun(ctx context.Context, cfg *config.Config, r *tryout) (*host.Manifest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, err := os.Stat(r.store); err != nil {
		if _, err := host.Init(ctx, cfg, host.InitOptions{SkipProbe: true}); err != nil {
			return nil, err
		}
	}
	around := []tap.Around{r.trace.Around}
	finish := func() error { return nil }
	if r.record != "" {
		file, recorder, err := r.recorder(cfg)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		around, finish = append(around, recorder.Around), recorder.Err
	}
	faults := tap.Faulty(r.faults, cancel)
	around = append(around, faults.Around)
	chain := tap.Chain(around...)
	h, err := host.Open(ctx, cfg, c.options(nil, host.Offline(),
		host.WithSessionWrapper(func(s abi.Session) abi.Session { return tap.Wrap(s, chain) }))...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	m, err := h.Snapshot(ctx, host.SnapshotOptions{})
	if err == nil {
		err = cmp.Or(finish(), missed(faults.Unfired()))
	}
	return m, err
}

// missed is an error about faults that did not happen: such a run shows nothing.
func missed(faults []tap.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = f.String()
	}
	return &host.Problem{Code: host.CodeFailed, Err: fmt.Errorf("--fault: %s never happened: the module made no such call", strings.Join(names, ", ")),
		Hint: "--trace lists the calls that it makes"}
}

// recorder starts the recording, which only its owner can read.
func (r *tryout) recorder(cfg *config.Config) (*os.File, *tap.Recorder, error) {
	info, err := host.InspectModule(r.subject.Module)
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(r.record, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	recorder, err := tap.NewRecorder(file, tap.Header{
		Strategy: r.subject.Name, Module: info.SHA256, ABI: host.ABIVersion(), RocksDB: host.RocksDBVersion(),
		Config: cfg.Strategies[r.subject.Name].Config,
	})
	return file, recorder, err
}

// replayRun has the module run on what was recorded.
func (c *cli) replayRun(cmd *cobra.Command, cfg *config.Config, r *tryout) error {
	file, err := os.Open(r.replay)
	if err != nil {
		return usage(cmd, "--replay: %w", err)
	}
	defer file.Close()
	recorded, err := tap.ReadRecording(file)
	if err != nil {
		return usage(cmd, "--replay: %w", err)
	}
	err = host.Drive(cmd.Context(), cfg, r.subject.Name, func(p abi.Phase) abi.Session {
		return recorded.Session(p, r.trace.Around)
	}, c.options(nil)...)
	if difference := recorded.Err(); difference != nil {
		return &host.Problem{Code: host.CodePlugin, Err: difference, Hint: "the module, its options or its version differ from the run that was recorded, or it depends on more than its session"}
	}
	return err
}

type runDocument struct {
	Schema   string       `json:"schema"`
	Strategy string       `json:"strategy"`
	Replayed bool         `json:"replayed"` // it did as recorded
	Calls    int          `json:"calls"`    // of the host
	Trace    []string     `json:"trace"`    // with --trace
	Snapshot *runSnapshot `json:"snapshot"` // null without any
}

type runSnapshot struct {
	ID          string  `json:"id"`
	Kind        string  `json:"kind"`
	Files       int     `json:"files"`
	BytesFull   int64   `json:"bytes_full"`
	BytesNew    int64   `json:"bytes_new"`
	BytesReused int64   `json:"bytes_reused"`
	PrepareMs   float64 `json:"prepare_ms"`
	TotalMs     float64 `json:"total_ms"`
}

// printRun prints what the module did, also when it failed in the end.
func (c *cli) printRun(r *tryout, m *host.Manifest, failure error) error {
	doc := runDocument{Schema: "rocksnap.plugin-run/1", Strategy: r.subject.Name, Replayed: r.replay != "" && failure == nil, Calls: r.trace.Calls(), Trace: []string{}}
	if r.traced {
		doc.Trace = append(doc.Trace, r.trace.Lines()...)
	}
	if m != nil {
		doc.Snapshot = &runSnapshot{m.ID, m.Kind, m.Files, m.BytesFull, m.BytesNew, m.BytesReused, m.PrepareMs, m.TotalMs}
	}
	err := c.printRunDocument(doc)
	if failure != nil {
		return failure
	}
	return err
}

func (c *cli) printRunDocument(doc runDocument) error {
	if c.json {
		return c.print(doc)
	}
	t := c.table()
	for _, line := range doc.Trace {
		t.row(line)
	}
	if len(doc.Trace) > 0 {
		t.row()
	}
	t.row("calls", doc.Calls)
	if doc.Replayed {
		t.row("replay", "as recorded")
	}
	if s := doc.Snapshot; s != nil {
		t.row("snapshot", s.ID)
		t.row("kind", s.Kind)
		t.row("files", s.Files)
		t.row("bytes", fmt.Sprintf("%s full, %s new, %s reused", size(s.BytesFull), size(s.BytesNew), size(s.BytesReused)))
		t.row("time", fmt.Sprintf("%.1f ms prepare, %.1f ms total", s.PrepareMs, s.TotalMs))
	}
	return t.flush()
}
