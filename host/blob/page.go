package blob

// Paged is a [Store] that is asked by requests, each of which takes time and may
// cost money: a Stat is one, and so is every page of a List.
type Paged interface {
	// PageSize returns the number of objects in a page of a List.
	PageSize() int
}

// PageSize returns that of a store that is [Paged], and 0 of others, where a List is
// not cheaper than as many Stats.
func PageSize(s Store) int {
	paged, ok := s.(Paged)
	if !ok {
		return 0
	}
	return paged.PageSize()
}

// PageSize is that of the store below.
func (p *prefixed) PageSize() int { return PageSize(p.store) }

// PageSize is that of the store below.
func (l *limited) PageSize() int { return PageSize(l.store) }

// PageSize is that of the store below.
func (o *observed) PageSize() int { return PageSize(o.store) }

// PageSize is that of the store below.
func (f *faulty) PageSize() int { return PageSize(f.store) }
