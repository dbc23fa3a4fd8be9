package surgery

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// mutations are surgery done wrong. None of them is noticed at once.
var mutations = map[string]func(s *surgery){
	"none": func(*surgery) {},
	"next file number too small": func(s *surgery) {
		s.spoil = func(w *world, dir string) {
			set, err := version.Read(dir)
			w.NoError(err)
			w.NoError(appendTo(filepath.Join(dir, set.Manifest), version.EncodeNextFile(set.ManifestBytes, 9)))
		}
	},
	"last sequence number too small": func(s *surgery) {
		s.merge = afterwards(func(m *Merged) { m.Set.LastSequence = 1 })
	},
	"lowest WAL kept": func(s *surgery) {
		s.merge = afterwards(func(m *Merged) {
			log := binary.LittleEndian.AppendUint64(nil, m.Set.NextFile+100)
			eachTable(m, func(t *version.Table) { t.Fields = append(slices.Clone(t.Fields), version.Field{Tag: 3, Value: log}) })
		})
	},
	"unique ids changed": func(s *surgery) {
		s.merge = afterwards(func(m *Merged) { eachTable(m, func(t *version.Table) { t.UniqueID[0]++ }) })
	},
	"a table has the number of a blob file": func(s *surgery) { s.merge = afterwards(numberTwice) },
	"column family of blob files has another id": func(s *surgery) {
		s.merge = afterwards(func(m *Merged) {
			for i := range m.Set.Families[1:] {
				m.Set.Families[1+i].ID += 7
			}
			m.Set.MaxFamily += 7
		})
	},
	"overlaps accepted": func(s *surgery) {
		s.merge = planned(func(m *merge) []func() *Refusal {
			return []func() *Refusal{m.checkSources, m.gather, m.assignIDs, m.placeAll, m.assignNumbers}
		})
	},
	"everything on level 0": func(s *surgery) {
		s.merge = planned(func(m *merge) []func() *Refusal {
			return []func() *Refusal{m.checkSources, m.gather, m.checkOverlaps, m.assignIDs, m.assignNumbers}
		})
	},
	"the oldest highest": func(s *surgery) {
		s.merge = planned(func(m *merge) []func() *Refusal {
			return []func() *Refusal{m.checkSources, m.gather, m.checkOverlaps, m.assignIDs, m.placeAll, m.upsideDown, m.assignNumbers}
		})
	},
	"WAL forgotten": func(s *surgery) {
		s.trim = func(string, map[string]version.Range, bool) (int64, error) { return 0, nil }
		s.merge = planned(func(m *merge) []func() *Refusal {
			return []func() *Refusal{m.gather, m.checkOverlaps, m.assignIDs, m.placeAll, m.checkWhole, m.assignNumbers}
		})
	},
	"tables at the edge left out": func(s *surgery) {
		s.subset = func(set *version.Set, keep Keep) (*version.Set, error) {
			return filtered(set, keep, func(t version.Table) bool { return keep.Contains(t) })
		}
	},
	"tables that begin before the range left out": func(s *surgery) {
		s.subset = func(set *version.Set, keep Keep) (*version.Set, error) {
			return filtered(set, keep, func(t version.Table) bool { return bytes.Compare(t.Smallest.User, keep.Lower) >= 0 })
		}
	},
	"only the oldest blob files kept": func(s *surgery) { s.subset = oldestBlobs },
}

func afterwards(spoil func(*Merged)) func([]Source) (*Merged, error) {
	return func(sources []Source) (*Merged, error) {
		m, err := Merge(sources)
		if err == nil {
			spoil(m)
		}
		return m, err
	}
}

func planned(steps func(*merge) []func() *Refusal) func([]Source) (*Merged, error) {
	return func(sources []Source) (*Merged, error) {
		m := &merge{sources: sources}
		return m.run(steps(m)...)
	}
}

func eachTable(m *Merged, do func(*version.Table)) {
	for _, f := range m.Set.Families {
		for i := range f.Tables {
			do(&f.Tables[i])
		}
	}
}

// numberTwice gives a table the number of the newest blob file.
func numberTwice(m *Merged) {
	for _, f := range m.Set.Families {
		if len(f.Tables) == 0 || len(f.Blobs) == 0 {
			continue
		}
		t := &f.Tables[0]
		i := slices.IndexFunc(m.Files, func(file File) bool { return file.To == t.Name() })
		t.Number = f.Blobs[len(f.Blobs)-1].Number
		m.Files[i].To = t.Name()
	}
}

// upsideDown turns the levels of each source over.
func (m *merge) upsideDown() *Refusal {
	for _, f := range m.families {
		for _, p := range f.parts {
			levels := p.levels()
			to := make(map[int]int)
			for i, level := range levels {
				if to[level] = levels[len(levels)-1-i]; levels[0] == 0 {
					to[level] = level
				}
			}
			p.move(to)
		}
	}
	return nil
}

func filtered(set *version.Set, keep Keep, wanted func(version.Table) bool) (*version.Set, error) {
	part, err := Subset(set, keep)
	for i := range part.Families {
		f := &part.Families[i]
		f.Tables = slices.DeleteFunc(f.Tables, func(t version.Table) bool { return !wanted(t) })
		f.Blobs = referred(f.Blobs, f.Tables)
	}
	return part, err
}

// oldestBlobs takes the oldest blob file that a table refers to for the only one.
func oldestBlobs(set *version.Set, keep Keep) (*version.Set, error) {
	part, err := Subset(set, keep)
	for i := range part.Families {
		f := &part.Families[i]
		f.Blobs = slices.DeleteFunc(slices.Clone(f.Blobs), func(b version.Blob) bool {
			return !slices.ContainsFunc(f.Tables, func(t version.Table) bool { return t.OldestBlob == b.Number })
		})
	}
	return part, err
}

const (
	mutationVariable = "ROCKSNAP_TEST_MUTATION"
	mutationSeeds    = 40 // within which each is found
)

// TestMutations states that the stress finds every mutation. Each runs in a process
// of its own: RocksDB may abort it.
func TestMutations(t *testing.T) {
	if name, ok := os.LookupEnv(mutationVariable); ok {
		liveWrong(t, name)
		return
	}
	for name := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMutations$", "-test.count=1")
			// What an aborted process leaves is removed by this one.
			cmd.Env = append(os.Environ(), mutationVariable+"="+name, memoryVariable+"="+memoryDir(t))
			out, err := cmd.CombinedOutput()
			if name == "none" {
				require.NoError(t, err, string(out))
				return
			}
			var failed *exec.ExitError
			require.True(t, errors.As(err, &failed), "not found in %d seeds", mutationSeeds)
			require.NoError(t, ctx.Err(), "it hangs")
			assert.Contains(t, string(out), "seed ", string(out))
			t.Logf("%s", out[:min(len(out), 1500)])
		})
	}
}

func liveWrong(t *testing.T, name string) {
	mutate, ok := mutations[name]
	if !ok {
		return
	}
	with := sound
	mutate(&with)
	for seed := range uint64(mutationSeeds) {
		os.Stderr.WriteString("seed " + strconv.FormatUint(seed, 10) + "\n")
		live(t, seed, with)
		if name == "none" && seed == 3 {
			return
		}
	}
}
