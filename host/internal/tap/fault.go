package tap

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
)

// Fault is what is to go wrong, and where.
type Fault struct {
	Call   string    // name of the calls that it is about; "*" for all
	N      int       // which of these, from 1; 0 for every one
	Errno  abi.Errno // what the call fails with
	Cancel bool      // instead: the snapshot is cancelled just before the call
}

// String returns the fault as [ParseFaults] reads it.
func (f Fault) String() string {
	where, what := f.Call, "cancel"
	if f.N > 0 {
		where += ":" + strconv.Itoa(f.N)
	}
	if i := slices.IndexFunc(abi.Errnos, func(e abi.ErrnoInfo) bool { return e.Errno == f.Errno }); !f.Cancel && i >= 0 {
		what = abi.Errnos[i].Name
	}
	return where + "=" + what
}

// ParseFaults reads faults as people write them: CALL[:N]=WHAT, several by commas,
// as in "upload:2=EIO,wait:1=cancel". Its error says what would be right.
func ParseFaults(spec string) ([]Fault, error) {
	var list []Fault
	for part := range strings.SplitSeq(spec, ",") {
		f, err := parseFault(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		list = append(list, f)
	}
	return list, nil
}

func parseFault(text string) (f Fault, err error) {
	where, what, ok := strings.Cut(text, "=")
	if !ok {
		return f, errors.New("want CALL[:N]=WHAT, as in upload:2=EIO")
	}
	name, number, counted := strings.Cut(where, ":")
	f.Call = name
	if name != "*" && !slices.Contains(Names, name) {
		return f, fmt.Errorf("no call %q can fail; there are *, %s", name, strings.Join(Names, ", "))
	}
	if counted {
		if f.N, err = strconv.Atoi(number); err != nil || f.N < 1 {
			return f, fmt.Errorf("%q is not the number of a call, which counts from 1", number)
		}
	}
	f.Cancel = what == "cancel"
	if !f.Cancel {
		f.Errno, err = errnoNamed(what)
	}
	return f, err
}

func errnoNamed(name string) (abi.Errno, error) {
	names := make([]string, len(abi.Errnos))
	for i, e := range abi.Errnos {
		if e.Name == name {
			return e.Errno, nil
		}
		names[i] = e.Name
	}
	return 0, fmt.Errorf("nothing is called %q; there are cancel, %s", name, strings.Join(names, ", "))
}

// Faults makes faults happen.
type Faults struct {
	list   []Fault
	cancel func()

	mu    sync.Mutex
	seen  []int  // calls that each fault was about
	fired []bool // faults that happened
}

// Faulty returns the faults of a list. cancel cancels the snapshot.
func Faulty(list []Fault, cancel func()) *Faults {
	return &Faults{list: list, cancel: cancel, seen: make([]int, len(list)), fired: make([]bool, len(list))}
}

// Around is an [Around].
func (f *Faults) Around(c *Call, do func() (int, error)) (int, error) {
	hit := f.next(c)
	switch {
	case hit == nil:
		return do()
	case hit.Cancel:
		f.cancel()
		return do()
	}
	return 0, &abi.Error{Errno: hit.Errno, Text: c.Name + ": injected fault: " + hit.Errno.Error()}
}

// Unfired lists the faults that have not happened: there was no such call.
func (f *Faults) Unfired() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Fault
	for i, fired := range f.fired {
		if !fired {
			list = append(list, f.list[i])
		}
	}
	return list
}

// next returns the fault of a call, the first of several, or nil.
func (f *Faults) next(c *Call) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Fault
	for i := range f.list {
		one := &f.list[i]
		if one.Call != "*" && one.Call != c.Name {
			continue
		}
		if f.seen[i]++; hit == nil && (one.N == 0 || one.N == f.seen[i]) {
			hit, f.fired[i] = one, true
		}
	}
	return hit
}
