package catalog

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func TestScan(t *testing.T) {
	if os.Getenv("SCAN") == "" {
		t.Skip()
	}
	n, _ := strconv.Atoi(os.Getenv("SCAN"))
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	bad := 0
	done := map[string]int{}
	for seed := from; seed < from+n; seed++ {
		w := simulate(t, uint64(seed), spoiler{})
		for k, v := range w.model.done {
			done[k] += v
		}
		if len(w.model.wrong) > 0 {
			bad++
			fmt.Println(seed, w.step, w.model.wrong[0])
		}
	}
	fmt.Println("bad", bad, done)
}
