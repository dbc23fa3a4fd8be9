package main

import (
	"errors"
	"fmt"
	"path/filepath"
)

// demo is one run.
type demo struct {
	shell
	source string
	taken  []taken
}

// taken is a snapshot with the content digests before it was taken and after it
// was restored.
type taken struct {
	snapshot
	live, restored string
}

// step writes data, unless load is nil, and then takes a snapshot.
type step struct {
	title    string
	load     []string
	strategy string
}

func (d *demo) steps() []step {
	return []step{
		{"native-full stores every file of RocksDB.",
			[]string{d.source}, "native-full"},
		{"incremental shares files with later snapshots. This first one has no base yet.",
			[]string{filepath.Join(d.source, "net"), "--prefix", "copy/net/"}, "incremental"},
		{"From now on it stores only what is new.",
			[]string{filepath.Join(d.source, "crypto"), "--prefix", "copy/crypto/"}, "incremental"},
		{"canonical stores records, in a format that needs no RocksDB.",
			nil, "canonical"},
	}
}

func (d *demo) play() error {
	if err := d.run(&created{}, "init"); err != nil {
		return err
	}
	for _, s := range d.steps() {
		d.title(s.title)
		if err := d.take(s); err != nil {
			return err
		}
	}
	d.title("Is all of it there and whole?")
	if err := d.show("list"); err != nil {
		return err
	}
	if err := d.run(&verified{}, "verify", "--level", "data"); err != nil {
		return err
	}
	d.title("Each snapshot by itself becomes a database again, with the content of its time.")
	for i := range d.taken {
		if err := d.restore(i); err != nil {
			return err
		}
	}
	d.title("Together:")
	d.table()
	return nil
}

func (d *demo) take(s step) error {
	if s.load != nil {
		if err := d.run(&loaded{}, "db", append([]string{"load"}, s.load...)...); err != nil {
			return err
		}
	}
	var live content
	if err := d.run(&live, "digest", "--db", "db"); err != nil {
		return err
	}
	t := taken{live: live.Digest}
	if err := d.run(&t.snapshot, "snapshot", "--strategy", s.strategy); err != nil {
		return err
	}
	d.taken = append(d.taken, t)
	return nil
}

func (d *demo) restore(i int) error {
	t := &d.taken[i]
	target := fmt.Sprintf("restored/%d-%s", i+1, t.Strategy)
	if err := d.run(&restored{}, "restore", t.ID, "--target", target); err != nil {
		return err
	}
	var found content
	if err := d.run(&found, "digest", "--db", target); err != nil {
		return err
	}
	t.restored = found.Digest
	return nil
}

func (t *taken) equal() bool { return t.live != "" && t.live == t.restored }

func (d *demo) table() {
	fmt.Fprintf(d.out, "  %-12s %5s %10s %10s %10s %11s %9s  %s\n",
		"strategy", "files", "full", "new", "reused", "prepare ms", "total ms", "digest equal")
	for _, t := range d.taken {
		equal := "NO"
		if t.equal() {
			equal = "yes"
		}
		fmt.Fprintf(d.out, "  %-12s %5d %10s %10s %10s %11.1f %9.0f  %s\n",
			t.Strategy, t.Files, size(t.BytesFull), size(t.BytesNew), size(t.BytesReused), t.PrepareMs, t.TotalMs, equal)
	}
}

func (d *demo) verdict() error {
	for _, t := range d.taken {
		if !t.equal() {
			return errors.New("a restored database differs from what was there when its snapshot was taken")
		}
	}
	return nil
}
