package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// repair is verify with --repair, which needs the database as well.
func (c *cli) repair(cmd *cobra.Command, o host.VerifyOptions) error {
	cfg, err := config.Load(c.config)
	if err != nil {
		return err
	}
	report, done := c.progress(true)
	h, err := host.Open(cmd.Context(), cfg, c.options(report, host.Offline())...)
	if err != nil {
		return err
	}
	defer h.Close()
	repaired, failed := h.Repair(cmd.Context(), o)
	done()
	if repaired == nil {
		return failed
	}
	if err := c.printRepaired(repaired, o.Sample); err != nil {
		return err
	}
	return failed
}

// repairDocument is that of verify, and what became of each problem.
type repairDocument struct {
	verifyDocument
	Healed []remedyItem `json:"healed"`
	Left   []remedyItem `json:"left"`
}

type remedyItem struct {
	problemItem
	How string `json:"how"`
}

func remedyItems(list []host.Remedy) []remedyItem {
	items := make([]remedyItem, len(list))
	for i, r := range list {
		items[i] = remedyItem{problemItem(r.Finding), r.How}
	}
	return items
}

func (c *cli) printRepaired(r *host.Repaired, s host.Sample) error {
	healed, left := remedyItems(r.Healed), remedyItems(r.Left)
	if c.json {
		return c.print(repairDocument{newVerifyDocument(r.Verified, s), healed, left})
	}
	if len(healed)+len(left) == 0 {
		return c.printVerified(r.Verified, s, true)
	}
	t := c.table()
	t.passes(r.Verified)
	t.row()
	t.row("SNAPSHOT", "FILE", "OBJECT", "PROBLEM", "RESULT")
	for _, item := range healed {
		t.row(append(item.cells(), "healed "+item.How)...)
	}
	for _, item := range left {
		t.row(append(item.cells(), "not healed: "+item.How)...)
	}
	t.lines(fmt.Sprintf("%s healed, %d left", count(len(healed), "problem"), len(left)))
	return t.flush()
}
