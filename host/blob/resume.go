package blob

// Resumer is a [Store] that may go on in the middle of an object.
type Resumer interface {
	// Resumes says whether a Create that was killed leaves something of a body of
	// size bytes that the next Create of the name, with the same body, goes on with.
	Resumes(size int64) bool
}

// Resumes asks a store that is a [Resumer]; others begin anew.
func Resumes(s Store, size int64) bool {
	resumer, ok := s.(Resumer)
	return ok && resumer.Resumes(size)
}

// Resumes asks the store below.
func (p *prefixed) Resumes(size int64) bool { return Resumes(p.store, size) }

// Resumes asks the store below.
func (l *limited) Resumes(size int64) bool { return Resumes(l.store, size) }

// Resumes asks the store below.
func (o *observed) Resumes(size int64) bool { return Resumes(o.store, size) }

// Resumes asks the store below.
func (f *faulty) Resumes(size int64) bool { return Resumes(f.store, size) }
