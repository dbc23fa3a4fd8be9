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

// Faulty returns an [Around] that makes faults happen. cancel cancels the snapshot.
func Faulty(faults []Fault, cancel func()) Around {
	var mu sync.Mutex
	seen := make([]int, len(faults)) // calls that each fault was about
	next := func(c *Call) *Fault {
		mu.Lock()
		defer mu.Unlock()
		var hit *Fault
		for i := range faults {
			f := &faults[i]
			if f.Call != "*" && f.Call != c.Name {
				continue
			}
			if seen[i]++; hit == nil && (f.N == 0 || f.N == seen[i]) {
				hit = f
			}
		}
		return hit
	}
	return func(c *Call, do func() (int, error)) (int, error) {
		f := next(c)
		switch {
		case f == nil:
			return do()
		case f.Cancel:
			cancel()
			return do()
		}
		return 0, &abi.Error{Errno: f.Errno, Text: c.Name + ": injected fault: " + f.Errno.Error()}
	}
}
