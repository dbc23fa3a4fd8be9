package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) verifyVerb() *cobra.Command {
	var level string
	cmd := verb("verify [ID...]", "Prove that snapshots are whole", `Verifies the named snapshots, or all of them. Each level includes those above:
  catalog  every manifest decodes and follows its parent
  objects  every object exists with its size
  data     every object has its digest
  restore  every snapshot is restored into a temporary folder, opened and read

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap verify
  rocksnap verify latest --level restore`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			report, done := c.progress(true)
			r, err := c.repository(cmd.Context(), report)
			if err != nil {
				return err
			}
			verified, err := r.Verify(cmd.Context(), host.Level(level), args...)
			done()
			if err != nil {
				return err
			}
			return c.printVerified(verified)
		})
	cmd.Flags().StringVar(&level, "level", string(host.LevelObjects), "`LEVEL`: catalog, objects, data or restore")
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	completeLevel(cmd)
	return cmd
}

type verifyDocument struct {
	Schema    string        `json:"schema"`
	Level     host.Level    `json:"level"`
	Snapshots int           `json:"snapshots"`
	Objects   int           `json:"objects"`
	Bytes     int64         `json:"bytes"`
	Problems  []problemItem `json:"problems"`
}

type problemItem struct {
	Snapshot string `json:"snapshot"`
	File     string `json:"file"`
	Object   string `json:"object"`
	What     string `json:"what"`
}

// printVerified prints the result; problems are an error after that.
func (c *cli) printVerified(v *host.Verified) error {
	var err error
	if c.json {
		doc := verifyDocument{"rocksnap.verify/1", v.Level, v.Snapshots, v.Objects, v.Bytes, make([]problemItem, len(v.Problems))}
		for i, p := range v.Problems {
			doc.Problems[i] = problemItem(p)
		}
		err = c.print(doc)
	} else {
		err = c.printFindings(v)
	}
	if err == nil && len(v.Problems) > 0 {
		err = &host.Problem{
			Code: host.CodeDamaged, Err: fmt.Errorf("verify: found %s", count(len(v.Problems), "problem")),
			Hint: "restore from a snapshot that is not listed; native-full, or incremental with full_every = 1 once, stores everything anew",
		}
	}
	return err
}

func (c *cli) printFindings(v *host.Verified) error {
	if len(v.Problems) == 0 {
		_, err := fmt.Fprintf(c.out, "verified %s, %s, %s: no problem (level %s)\n",
			count(v.Snapshots, "snapshot"), count(v.Objects, "object"), size(v.Bytes), v.Level)
		return err
	}
	t := c.table()
	t.row("SNAPSHOT", "FILE", "OBJECT", "PROBLEM")
	for _, p := range v.Problems {
		t.row(dash(p.Snapshot), dash(p.File), dash(p.Object), strings.ReplaceAll(p.What, "\n", "; "))
	}
	return t.flush()
}

// dash stands for an empty cell.
func dash(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}
