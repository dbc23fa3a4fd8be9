package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// series says how snapshots follow each other.
type series struct {
	every time.Duration // from the start of one to the start of the next
	count int           // 0 for no end

	explain bool // tell what made the new bytes
}

// snapshots takes one snapshot after the other and reloads the configuration
// meanwhile.
func (c *cli) snapshots(cmd *cobra.Command, strategy string, s series, o host.SnapshotOptions) error {
	if s.every <= 0 || s.count < 0 {
		return usage(cmd, "--every must be longer than 0s, and --count goes with it and is not negative")
	}
	cfg, err := c.loadFor(cmd, strategy)
	if err != nil {
		return err
	}
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	c.stays.Store(true)
	h, err := host.Open(cmd.Context(), cfg, c.options(nil, access(cfg)...)...)
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, stop := context.WithCancel(cmd.Context())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		host.Watch(ctx, h, host.WatchOptions{Path: c.config, Signals: reloads, Report: c.reloaded, Adjust: choose(strategy)})
	}()
	defer func() { stop(); <-watching }() // before h is closed
	return c.repeat(ctx, h, s, o)
}

// choose makes the choice of a flag hold for every configuration to come.
func choose(strategy string) func(*config.Config) error {
	if strategy == "" {
		return nil
	}
	return func(cfg *config.Config) error { return cfg.Select(strategy, "--strategy") }
}

// reloaded tells the outcome of a reload.
func (c *cli) reloaded(err error) {
	switch {
	case err != nil:
		c.report(err)
	case c.json:
		c.print(reloadEvent{"reload", c.config})
	case !c.quiet:
		fmt.Fprintf(c.err, "reloaded %s\n", c.config)
	}
}

// reloadEvent is a line on stdout between the documents of snapshots.
type reloadEvent struct {
	Event  string `json:"event"`
	Config string `json:"config"`
}

// repeat takes snapshots until ctx ends. One that fails is reported; only when
// another host has taken over there is nothing left to do.
func (c *cli) repeat(ctx context.Context, h *host.Host, s series, o host.SnapshotOptions) error {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	failed := 0
	for n := 1; ; n++ {
		m, err := h.Snapshot(ctx, o)
		switch {
		case err != nil && (ctx.Err() != nil || host.CodeOf(err) == host.CodeFenced):
			return err
		case err != nil:
			failed++
			c.report(err)
		default:
			if err := c.printLine(m, s.explain); err != nil {
				return err
			}
		}
		if n == s.count {
			return partly(failed, n)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func partly(failed, n int) error {
	if failed == 0 {
		return nil
	}
	return &host.Problem{Code: host.CodePartial, Err: fmt.Errorf("%d of %d snapshots failed", failed, n), Hint: "what failed is told above"}
}

// printLine prints a snapshot as one line, and below it what made its new bytes.
func (c *cli) printLine(m *host.Manifest, explain bool) error {
	if c.json {
		return c.printSnapshot(m, 0, "")
	}
	c.warnFallback(m)
	_, err := fmt.Fprintf(c.out, "%s  %s  %s  %s new, %s reused, %.1f ms\n", m.Created.Local().Format(time.DateTime), m.ID, m.Strategy.Name,
		size(m.BytesNew), size(m.BytesReused), m.TotalMs)
	if err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	if explain {
		return c.printCauses(host.Explain(m))
	}
	return nil
}
