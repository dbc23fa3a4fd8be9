package surgery

import (
	"slices"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// placeAll finds levels for all tables.
//
// RocksDB 7.8 sorts level 0 by sequence numbers and wants them to fall from table
// to table. Those of unrelated databases never do, and cannot be changed. From
// level 1 on there is no such rule, and the sources are disjoint. So one source
// keeps its level 0; of the others each table of level 0 moves to a level of its
// own among those that it overlaps, the newest highest, and the levels of that
// source below make room as a whole: one user key may span two tables of a level.
func (m *merge) placeAll() *Refusal {
	for _, f := range m.families {
		place := f.place
		if f.universal() {
			place = f.placeUniversal
		}
		if r := place(); r != nil {
			return r
		}
	}
	return nil
}

func (f *family) universal() bool {
	return slices.ContainsFunc(f.parts, func(p *part) bool { return p.settings.style == styleUniversal })
}

// placeUniversal accepts sources that are compacted in full. Levels of universal
// compaction are sorted by age. RocksDB opens others all the same; but when a
// table is ingested later on, it goes by the age of levels, and what is older
// than the table may hide it.
func (f *family) placeUniversal() *Refusal {
	parts, deepest := f.inhabited(), 0
	if len(parts) < 2 {
		return f.place()
	}
	for _, p := range parts {
		levels := p.levels()
		if len(levels) > 1 || levels[0] == 0 {
			return refuse(p.source, Universal, "column family %q has universal compaction, and tables on more than one level or on level 0", f.name).curable()
		}
		deepest = max(deepest, levels[0])
	}
	if deepest >= f.settings.levels {
		return f.noRoom(parts[0])
	}
	for _, p := range parts {
		p.move(map[int]int{p.levels()[0]: deepest})
	}
	return nil
}

func (f *family) place() *Refusal {
	keeper := f.keeper()
	for _, p := range f.inhabited() {
		levels := p.levels()
		if p == keeper || levels[0] > 0 {
			if levels[len(levels)-1] >= f.settings.levels {
				return f.noRoom(p)
			}
			continue
		}
		depths, deepest := p.depths()
		top, moves := room(deepest, levels[1:], f.settings.levels)
		if moves == nil {
			return f.noRoom(p)
		}
		moves[0] = top
		p.move(moves)
		for i, depth := range depths {
			p.Tables[i].Level += depth
		}
	}
	return nil
}

func (f *family) noRoom(p *part) *Refusal {
	return refuse(p.source, Level0, "tables of column family %q need more than the %d levels that there are", f.name, f.settings.levels).curable()
}

// keeper returns the part that keeps its level 0, that which needs the most
// levels; nil when no part has one.
func (f *family) keeper() (keeper *part) {
	most := 0
	for _, p := range f.inhabited() {
		levels := p.levels()
		if levels[0] > 0 {
			continue
		}
		if _, deepest := p.depths(); deepest+len(levels) > most {
			keeper, most = p, deepest+len(levels)
		}
	}
	return keeper
}

// levels returns the levels that hold tables, from the top.
func (p *part) levels() (levels []int) {
	for _, t := range p.Tables {
		levels = append(levels, t.Level)
	}
	slices.Sort(levels)
	return slices.Compact(levels)
}

// move gives every table another level.
func (p *part) move(to map[int]int) {
	for i := range p.Tables {
		t := &p.Tables[i]
		if level, ok := to[t.Level]; ok {
			t.Level = level
		}
	}
}

// depths says how deep each table of level 0 lies, by its index: at 0 those that
// no newer one overlaps. It returns the number of layers as well.
func (p *part) depths() (depths map[int]int, layers int) {
	var order []int
	for i, t := range p.Tables {
		if t.Level == 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return newestFirst(&p.Tables[a], &p.Tables[b]) })
	depths = make(map[int]int, len(order))
	for n, i := range order {
		for _, newer := range order[:n] {
			if overlapping(p.Tables[i], p.Tables[newer]) {
				depths[i] = max(depths[i], depths[newer]+1)
			}
		}
		layers = max(layers, depths[i]+1)
	}
	return depths, layers
}

func overlapping(a, b version.Table) bool { return !a.Before(b) && !b.Before(a) }

// room finds room for layers above the given levels, where limit levels are: the
// first of the levels that the layers take, and where each given one goes. Levels
// move down only, and no further than they must. It returns no moves when there
// is no room.
func room(layers int, levels []int, limit int) (top int, moves map[int]int) {
	moves = make(map[int]int)
	switch {
	case len(levels) == 0:
		top = limit - layers
	case levels[0] > layers:
		top = levels[0] - layers
	default:
		top = 1
	}
	lowest := top + layers - 1
	for _, level := range levels {
		lowest = max(level, lowest+1)
		moves[level] = lowest
	}
	if top < 1 || lowest >= limit {
		return 0, nil
	}
	return top, moves
}
