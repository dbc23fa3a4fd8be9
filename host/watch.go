package host

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rocksnap/rocksnap/config"
)

// WatchOptions says when [Watch] reloads a configuration.
type WatchOptions struct {
	Path    string                     // of the configuration's file
	Every   time.Duration              // how often to look for changes; default 1s, never when negative
	Signals <-chan os.Signal           // each reloads, whether anything changed or not; may be nil
	Adjust  func(*config.Config) error // changes what was read, as options of a command line do; may be nil
	Report  func(error)                // is told the outcome of every reload, nil for a success; may be nil
}

// Watch reloads the configuration of a host when its file, or that of a module or
// a signature which it uses, has changed since the host read it, or when a signal
// asks for it. It returns when ctx ends. After a reload that failed the host goes
// on as before, and the next change is tried: the file may have been half written.
func Watch(ctx context.Context, h *Host, o WatchOptions) {
	var ticks <-chan time.Time
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Every > 0 {
		ticker := time.NewTicker(o.Every)
		defer ticker.Stop()
		ticks = ticker.C
	}
	w := watcher{host: h, WatchOptions: o}
	w.begin(h.strategies.latest())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			if slices.Equal(w.seen, w.look()) {
				continue
			}
		case _, ok := <-o.Signals:
			if !ok {
				w.Signals, o.Signals = nil, nil
				continue
			}
		}
		err := w.reload(ctx)
		if o.Report != nil && ctx.Err() == nil {
			o.Report(err)
		}
	}
}

// watcher is what [Watch] remembers.
type watcher struct {
	WatchOptions
	host *Host
	cfg  *config.Config // the latest that could be read, in effect or not
	seen []string
}

// begin takes what the host has read for seen, as it was then: what was edited since
// is a change.
func (w *watcher) begin(g *generation) {
	w.cfg = g.cfg
	w.seen = w.look()
	if path, err := filepath.Abs(w.Path); err == nil && path == g.cfg.Path && g.cfg.File() != nil {
		w.seen[0] = describe(w.Path, g.cfg.File())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, name := range g.cfg.Used() {
		if f, ok := g.files[name]; ok {
			copy(w.seen[1+len(f.stamps)*i:], f.stamps)
		}
	}
}

// reload looks before it reads, so that what changes meanwhile is read again.
func (w *watcher) reload(ctx context.Context) error {
	w.seen = w.look()
	cfg, err := w.load()
	if err != nil {
		return fmt.Errorf("reload: the former configuration stays: %w", err)
	}
	w.cfg = cfg
	w.seen = append(w.seen[:1], w.look()[1:]...)
	if w.Adjust != nil {
		if err := w.Adjust(cfg); err != nil {
			return fmt.Errorf("reload: the former configuration stays: %w", err)
		}
	}
	return w.host.Reload(ctx, cfg)
}

// load reads the configuration, unless it is a pipe: opening one waits for somebody
// to write to it, which no ctx ends.
func (w *watcher) load() (*config.Config, error) {
	if info, err := os.Stat(w.Path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, problem(CodeUsage, fmt.Errorf("%s is a pipe, which is read only once", w.Path), "name a file with --config")
	}
	return config.Load(w.Path)
}

// look returns a line for each file that a reload reads: which one it is, and how
// it would differ after a change.
func (w *watcher) look() []string {
	lines := []string{stamp(w.Path)}
	g := &generation{cfg: w.cfg}
	for _, name := range w.cfg.Used() {
		path, _, err := g.find(w.cfg.Strategies[name].Module)
		if err != nil { // the line changes when it appears
			path = w.cfg.Strategies[name].Module
		}
		lines = append(lines, stampModule(path)...)
	}
	return lines
}

// stampModule is of a module and of its signature.
func stampModule(path string) []string {
	return []string{stamp(path), stamp(path + signatureSuffix)}
}

// stamp tells a file from what it may become.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path + ": absent"
	}
	return describe(path, info)
}

func describe(path string, info fs.FileInfo) string {
	inode := uint64(0)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprint(path, info.Size(), info.ModTime().UnixNano(), inode)
}
