package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) verifyVerb() *cobra.Command {
	var level, sample, seen string
	var repair bool
	cmd := verb("verify [ID...]", "Prove that snapshots are whole, or repair them", `Verifies the repository, or the named snapshots. Each level includes those above:
  catalog  every document is sound, and nobody has changed the history
  objects  every object exists with its size and the store's checksum
  data     every object has its digest
  restore  every snapshot is restored into a temporary folder, opened and read

What nothing refers to is counted as orphans, and is no problem. The head names
the newest entry; keep it elsewhere, and --seen tells whether history still
contains it. With --sample 2/7, data and restore read the second of seven parts;
seven runs read everything once.

--repair stores damaged and missing files anew, if the database still has them or
another object holds the same. What is beyond repair is set aside, where it could
spoil later snapshots. It needs the database, which must not be open elsewhere.
That all was healed is exit status 0.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 11 fenced or locked,
12 key, 20 damage found, 21 not repairable, 30 plugin refused, 130 interrupted.`,
		`  rocksnap verify
  rocksnap verify latest --level restore
  rocksnap verify --level data --sample 2/7`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			part, err := host.ParseSample(sample)
			if err != nil {
				return err
			}
			o := host.VerifyOptions{Level: host.Level(level), Sample: part, Seen: seen, Snapshots: args}
			if repair {
				return c.repair(cmd, o)
			}
			return c.verify(cmd, o)
		})
	cmd.Flags().StringVar(&level, "level", string(host.LevelObjects), "`LEVEL`: catalog, objects, data or restore")
	cmd.Flags().StringVar(&sample, "sample", "", "`N/T`: read the n-th of t parts of the data")
	cmd.Flags().StringVar(&seen, "seen", "", "`SLOT:DIGEST`, the head of an earlier run, which history has to contain")
	cmd.Flags().BoolVar(&repair, "repair", false, "store anew what is damaged or missing, as far as possible")
	cmd.ValidArgsFunction = c.snapshotIDs(many)
	completeLevel(cmd)
	return cmd
}

func (c *cli) verify(cmd *cobra.Command, o host.VerifyOptions) error {
	report, done := c.progress(true)
	r, err := c.repository(cmd.Context(), report)
	if err != nil {
		return err
	}
	verified, failed := r.Verify(cmd.Context(), o)
	done()
	if verified == nil {
		return failed
	}
	if err := c.printVerified(verified, o.Sample, failed == nil); err != nil {
		return err
	}
	return errors.Join(found(verified), failed)
}

// found is the error for problems.
func found(v *host.Verified) error {
	if len(v.Problems) == 0 {
		return nil
	}
	return &host.Problem{
		Code: host.CodeDamaged, Err: fmt.Errorf("verify: found %s", count(len(v.Problems), "problem")), Hint: foundHint(v.Problems),
	}
}

func foundHint(problems []host.Finding) string {
	history := 0
	for _, f := range problems {
		if f.InHistory() {
			history++
		}
	}
	const heals = "'rocksnap verify --repair' heals what the database still has"
	switch history {
	case 0:
		return heals + "; else restore from a snapshot that is not listed"
	case len(problems):
		return host.HistoryHint
	}
	return host.HistoryHint + "; of the rest, " + heals
}

type verifyDocument struct {
	Schema      string        `json:"schema"`
	Level       host.Level    `json:"level"`
	Sample      string        `json:"sample"` // "" for everything
	Snapshots   int           `json:"snapshots"`
	Objects     int           `json:"objects"`
	Bytes       int64         `json:"bytes"`
	Orphans     int           `json:"orphans"` // objects that nothing refers to
	OrphanBytes int64         `json:"orphan_bytes"`
	Head        string        `json:"head"` // for --seen
	Passes      []passItem    `json:"passes"`
	Problems    []problemItem `json:"problems"`
}

type passItem struct {
	Level    host.Level `json:"level"`
	Checked  int        `json:"checked"`
	Bytes    int64      `json:"bytes"`
	Left     int        `json:"left"`   // to other runs of the sample
	Unread   int        `json:"unread"` // snapshots that could not be read; the error, or a warning, says why
	Problems int        `json:"problems"`
}

type problemItem struct {
	Snapshot string `json:"snapshot"`
	File     string `json:"file"`
	Object   string `json:"object"`
	What     string `json:"what"`
}

func newVerifyDocument(v *host.Verified, s host.Sample) verifyDocument {
	doc := verifyDocument{
		Schema: "rocksnap.verify/1", Level: v.Level, Snapshots: v.Snapshots, Objects: v.Objects, Bytes: v.Bytes,
		Orphans: v.Orphans, OrphanBytes: v.OrphanBytes, Head: v.Head,
		Passes: make([]passItem, len(v.Passes)), Problems: make([]problemItem, len(v.Problems)),
	}
	if s.Of > 0 {
		doc.Sample = s.String()
	}
	for i, p := range v.Passes {
		doc.Passes[i] = passItem(p)
	}
	for i, p := range v.Problems {
		doc.Problems[i] = problemItem(p)
	}
	return doc
}

func (c *cli) printVerified(v *host.Verified, s host.Sample, finished bool) error {
	if c.json {
		return c.print(newVerifyDocument(v, s))
	}
	t := c.table()
	t.passes(v)
	if len(v.Problems) > 0 {
		t.row()
		t.row("SNAPSHOT", "FILE", "OBJECT", "PROBLEM")
	}
	for _, p := range v.Problems {
		t.row(problemItem(p).cells()...)
	}
	t.lines(verdict(v, s, finished)...)
	return t.flush()
}

// passes writes what was done at each level, as a table of its own.
func (t table) passes(v *host.Verified) {
	t.row("LEVEL", "CHECKED", "BYTES", "LEFT", "PROBLEMS")
	for _, p := range v.Passes {
		t.row(p.Level, p.Checked, size(p.Bytes), p.Left, p.Problems)
	}
}

func (p problemItem) cells() []any {
	return []any{dash(p.Snapshot), dash(p.File), dash(p.Object), strings.ReplaceAll(p.What, "\n", "; ")}
}

// verdict sums a verification up.
func verdict(v *host.Verified, s host.Sample, finished bool) []string {
	var lines []string
	last := v.Passes[len(v.Passes)-1]
	switch {
	case last.Unread > 0:
		lines = append(lines, fmt.Sprintf("not finished: %d of %s could not be read", last.Unread, count(last.Checked+last.Unread, "snapshot")))
	case !finished:
		lines = append(lines, fmt.Sprintf("not finished: level %s broke off", last.Level))
	case len(v.Problems) == 0:
		lines = append(lines, fmt.Sprintf("verified %s, %s, %s: no problem (level %s)",
			count(v.Snapshots, "snapshot"), count(v.Objects, "object"), size(v.Bytes), v.Level))
	}
	for _, p := range v.Passes {
		if p.Left > 0 {
			lines = append(lines, fmt.Sprintf("sample %s: level %s left %d of %d to the other runs", s, p.Level, p.Left, p.Left+p.Checked+p.Unread))
		}
	}
	if v.Orphans > 0 {
		lines = append(lines, fmt.Sprintf("orphans: %s, %s; 'rocksnap prune --sweep' deletes them", count(v.Orphans, "object"), size(v.OrphanBytes)))
	}
	if v.Head != "" {
		lines = append(lines, "head: "+v.Head)
	}
	return lines
}

// dash stands for an empty cell.
func dash(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}
