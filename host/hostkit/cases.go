package hostkit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// Cases returns the table.
func Cases() []Case {
	return slices.Concat(phaseCases(), pointerCases(), valueCases(), captureCases(), recordCases(), handleCases())
}

// phases in the order in which a run goes through them.
var phases = []abi.Phase{abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot, abi.PhaseNotify, abi.PhaseRestore}

// phaseCases call every function wherever it is not allowed.
func phaseCases() (cases []Case) {
	for _, p := range phases {
		c := Case{Name: "wrong phase: " + p.String()}
		for n := range abi.Imports {
			if f := &abi.Imports[n]; f.Phases&p == 0 {
				c.Steps = append(c.Steps, Step{p, f.Name, harmless(f), Fails(abi.EPHASE)})
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// harmless are arguments that are right in themselves.
func harmless(f *abi.Func) []Arg {
	args := make([]Arg, len(f.Params))
	for n, p := range f.Params {
		switch p.Name {
		case "ptr", "buf", "key":
			args[n] = At(0)
		case "rec_size":
			args[n] = V(64) // as large as any record
		}
	}
	return args
}

// nowhere are ranges that no guest has: past the end, across it, and where the
// sum of address and length wraps around.
var nowhere = []struct {
	name       string
	start, len Arg
}{
	{"past the end", Beyond(0), V(128)},
	{"across the end", Beyond(-4), V(128)},
	{"far past the end", Beyond(8), V(128)},
	{"last address", V(0xffffffff), V(128)},
	{"endless", At(8), V(0xffffffff)},
	{"wraps around", V(0xfffffff0), V(0xfffffff0)},
}

// pointerCases give each pointer of each function memory that the guest has not.
func pointerCases() (cases []Case) {
	for n := range abi.Imports {
		f := &abi.Imports[n]
		for at, p := range f.Params {
			if pointerOf(p) == "" || f.Params[at+1].Type != abi.I32 {
				continue
			}
			for _, bad := range nowhere {
				args := harmless(f)
				args[at] = bad.start
				if f.Params[at+1].Name != "rec_size" { // stream_open, whose record has a size of its own
					args[at+1] = bad.len
				} else if bad.name == "endless" {
					continue
				}
				name := fmt.Sprintf("%s of %s: %s", p.Name, f.Name, bad.name)
				cases = append(cases, Case{name, []Step{{firstPhase(f), f.Name, args, Traps}}})
			}
		}
	}
	return cases
}

// firstPhase is the first phase in which a function may be called.
func firstPhase(f *abi.Func) abi.Phase {
	return phases[slices.IndexFunc(phases, func(p abi.Phase) bool { return f.Phases&p != 0 })]
}

// key is the address of a state key in the arena, and other what is no UTF-8.
const (
	key   = 0
	other = 512
)

// poke writes eight bytes into the arena.
func poke(p abi.Phase, at, value int64) Step {
	return Step{p, Poke, []Arg{At(at), V(value)}, Gives(0)}
}

// peek wants an i32 in the arena.
func peek(p abi.Phase, at int64, want int32) Step {
	return Step{p, Peek, []Arg{At(at)}, Gives(want)}
}

// letters fills the arena with 320 letters.
func letters(p abi.Phase) (steps []Step) {
	for at := int64(0); at < 320; at += 8 {
		steps = append(steps, poke(p, at, 0x6161616161616161))
	}
	return steps
}

// canary is what a host that writes nothing leaves alone.
const canary = 0x5aa55aa5

func valueCases() []Case {
	const in, prep, snap = abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot
	return []Case{
		{"a value that does not fit", []Step{
			poke(in, 0, canary),
			{in, "config_get", []Arg{At(0), V(0)}, Succeeds(12)},
			{in, "config_get", []Arg{At(0), V(3)}, Succeeds(12)},
			peek(in, 0, canary),
			{in, "config_get", []Arg{At(1), V(60000)}, Succeeds(12)}, // and an odd address
			{in, "config_get", []Arg{Beyond(0), V(0)}, Succeeds(12)}, // nothing at the very end is something
		}},
		{"info", []Step{
			poke(in, 8, canary),
			{in, "info", []Arg{At(0), V(0)}, Gives(40)},
			{in, "info", []Arg{At(0), V(4)}, Gives(40)},
			peek(in, 0, abi.Version),
			peek(in, 8, canary),
			{in, "info", []Arg{At(3), V(48)}, Gives(40)},
			peek(in, 3, abi.Version),
			poke(in, 43, -1),
			{in, "info", []Arg{At(3), V(48)}, Gives(40)},
			peek(in, 43, 0), // beyond the record
			{in, "cancelled", nil, Gives(0)},
		}},
		{"texts", []Step{
			poke(in, 0, 0x00ff_fe1b_0a0d_0041),
			{in, "log", []Arg{V(99), At(0), V(8)}, Gives(0)},
			{in, "log", []Arg{V(-1), At(0), V(60000)}, Gives(0)},
			{in, "log", []Arg{V(1), Beyond(0), V(0)}, Gives(0)},
			{in, "error_set", []Arg{At(0), V(8)}, Gives(0)},
			{in, "error_get", []Arg{At(64), V(0)}, Gives(0)}, // nothing has failed
			{in, "checkpoint", nil, Fails(abi.EPHASE)},
			{in, "error_get", []Arg{At(64), V(0)}, Succeeds(5)},
			{in, "progress", []Arg{V(0), V(0)}, Gives(0)},
		}},
		{"keys", slices.Concat(letters(prep), []Step{
			poke(prep, other, 0xfe),
			{prep, "state_put", []Arg{At(key), V(0), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "state_put", []Arg{At(key), V(257), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "state_put", []Arg{At(other), V(1), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "meta_put", []Arg{At(key), V(0), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "meta_put", []Arg{At(key), V(257), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "meta_put", []Arg{At(other), V(1), At(0), V(1)}, Fails(abi.EINVAL)},
			{prep, "state_get", []Arg{At(key), V(3), At(600), V(9)}, Fails(abi.ENOENT)},
			{prep, "state_get", []Arg{At(other), V(1), At(600), V(9)}, Fails(abi.ENOENT)},
			{prep, "state_put", []Arg{At(key), V(256), At(0), V(8)}, Gives(0)},
			{prep, "state_put", []Arg{At(other + 1), V(1), At(0), V(0)}, Gives(0)}, // NUL is UTF-8
			{prep, "state_get", []Arg{At(other + 1), V(1), At(600), V(9)}, Gives(0)},
			{prep, "state_get", []Arg{At(key), V(256), At(600), V(7)}, Gives(8)},
			peek(prep, 600, 0),
			{prep, "state_get", []Arg{At(key), V(256), At(key), V(256)}, Gives(8)}, // key and value overlap
			{prep, "meta_put", []Arg{At(key), V(8), At(key), V(8)}, Gives(0)},
			{prep, "state_delete", []Arg{At(key), V(256)}, Gives(0)},
			{prep, "state_delete", []Arg{At(key), V(256)}, Gives(0)},
			{prep, "state_get", []Arg{At(key), V(256), At(600), V(9)}, Fails(abi.ENOENT)},
		})},
		{"quota", slices.Concat(quota(prep, "state_put"), quota(snap, "meta_put"))},
	}
}

func captureCases() []Case {
	const prep, snap = abi.PhasePrepare, abi.PhaseSnapshot
	return []Case{
		{"capture", []Step{
			{prep, "files_read", []Arg{V(0), At(0), V(64), V(64)}, Fails(abi.EPHASE)},
			{prep, "families_read", []Arg{V(0), At(0), V(24), V(24)}, Fails(abi.EPHASE)},
			{prep, "base_use", []Arg{V(-1)}, Fails(abi.ENOENT)},
			{prep, "base_use", []Arg{V(0)}, Fails(abi.ENOENT)},
			{prep, "bases_read", []Arg{V(0), At(0), V(480), V(48)}, Gives(0)},
			{prep, "checkpoint", nil, Succeeds(4)},
			{prep, "checkpoint", nil, Succeeds(4)},
			{prep, "view", nil, Fails(abi.ECONFLICT)},
			{prep, "file_name", []Arg{V(-1), At(0), V(99)}, Fails(abi.ENOENT)},
			{prep, "file_name", []Arg{V(0), At(0), V(0)}, Succeeds(4)},
			{snap, "wait", []Arg{At(0), V(64), V(32)}, Gives(0)}, // nothing is under way
			{snap, "families_read", []Arg{V(0), At(0), V(24), V(24)}, Fails(abi.EPHASE)},
			{snap, "scan_open", []Arg{V(0), V(0), V(0)}, Fails(abi.ENOENT)},
		}},
		{"view", []Step{
			{prep, "view", nil, Gives(2)},
			{prep, "view", nil, Gives(2)},
			{prep, "checkpoint", nil, Fails(abi.ECONFLICT)},
			{prep, "family_name", []Arg{V(1), At(0), V(99)}, Gives(6)},
			{prep, "family_name", []Arg{V(2), At(0), V(99)}, Fails(abi.ENOENT)},
			{prep, "family_name", []Arg{V(-1), At(0), V(99)}, Fails(abi.ENOENT)},
			{snap, "scan_open", []Arg{V(7), V(0), V(0)}, Fails(abi.ENOENT)},
			{snap, "scan_open", []Arg{V(0), V(0), V(1)}, Fails(abi.EINVAL)},
			{snap, "scan_open", []Arg{V(0), V(-1), V(0)}, Fails(abi.EINVAL)},
			{snap, "scan_open", []Arg{V(0), V(-1), V(-1)}, Fails(abi.EINVAL)},
			{snap, "files_read", []Arg{V(0), At(0), V(64), V(64)}, Fails(abi.EPHASE)},
		}},
	}
}

// quota fills a small store up to its limit with keys of one letter.
func quota(p abi.Phase, call string) (steps []Step) {
	const most = (abi.MaxState - 1) / 60000
	for n := range int64(most) {
		steps = append(steps, poke(p, key, 'A'+n), Step{p, call, []Arg{At(key), V(1), At(0), V(60000)}, Gives(0)})
	}
	return append(steps, poke(p, key, 'z'),
		Step{p, call, []Arg{At(key), V(1), At(0), V(60000)}, Fails(abi.EQUOTA)},
		Step{p, call, []Arg{At(key), V(1), At(0), V(10)}, Gives(0)})
}

// sizes are those of the records, as the ABI has them.
var sizes = map[string]int64{
	"files_read": 64, "bases_read": 48, "families_read": 24, "wait": 32,
	"upload": 16, "reuse": 16, "fetch": 16, "export": 32, "stream_open": 24,
}

// recordCases are about lists of records in both directions.
func recordCases() (cases []Case) {
	for _, f := range abi.Imports {
		size, ok := sizes[f.Name]
		if !ok || f.Name == "fetch" {
			continue
		}
		cases = append(cases, sizeCase(&f, size))
	}
	return append(cases, listCase(), requestCase(), exportCase())
}

// sizeCase tries sizes of a record that cannot be.
func sizeCase(f *abi.Func, size int64) Case {
	p := firstPhase(f)
	c := Case{Name: "sizes of records: " + f.Name}
	if f.Grant == abi.GrantExport || f.Grant == abi.GrantStream {
		c.Steps = append(c.Steps, Step{abi.PhasePrepare, "view", nil, Gives(2)})
	} else {
		c.Steps = append(c.Steps, Step{abi.PhasePrepare, "checkpoint", nil, Succeeds(4)})
	}
	for _, wrong := range []int64{0, 1, size - 1} {
		args := harmless(f)
		args[len(args)-1] = V(wrong)
		c.Steps = append(c.Steps, Step{p, f.Name, args, Fails(abi.EINVAL)})
	}
	if f.Name == "stream_open" {
		return c
	}
	args := harmless(f) // no room for any record, or none to submit
	args[len(args)-1] = V(size)
	c.Steps = append(c.Steps, Step{p, f.Name, args, Gives(0)})
	if strings.HasSuffix(f.Name, "_read") || f.Name == "wait" {
		args = slices.Clone(args)
		args[len(args)-2] = V(size - 1)
		c.Steps = append(c.Steps, Step{p, f.Name, args, Fails(abi.EINVAL)})
	} else {
		args = slices.Clone(args) // count times size wraps around in 32 bits
		args[len(args)-2] = V(0x10000001)
		c.Steps = append(c.Steps, Step{p, f.Name, args, Traps})
	}
	return c
}

// listCase reads lists at odd places, and with records of another size.
func listCase() Case {
	const p = abi.PhasePrepare
	return Case{"lists", []Step{
		{p, "view", nil, Gives(2)},
		{p, "families_read", []Arg{V(0), At(0), V(24), V(24)}, Gives(1)},
		{p, "families_read", []Arg{V(0), At(0), V(71), V(24)}, Gives(2)},
		{p, "families_read", []Arg{V(1), At(5), V(72), V(24)}, Gives(1)},
		peek(p, 5, 1),
		poke(p, 100+24, -1),
		poke(p, 100+80, canary),
		{p, "families_read", []Arg{V(0), At(100), V(80), V(40)}, Gives(2)},
		peek(p, 100+24, 0), // what the host does not know
		peek(p, 100+40, 1), // the second record
		peek(p, 100+80, canary),
		{p, "families_read", []Arg{V(2), At(0), V(72), V(24)}, Gives(0)},
		{p, "families_read", []Arg{V(-1), At(0), V(72), V(24)}, Gives(0)},
		{p, "families_read", []Arg{V(0x7fffffff), At(0), V(72), V(24)}, Gives(0)},
	}}
}

// requestCase submits what no host may accept, and then a file.
func requestCase() Case {
	const p = abi.PhaseSnapshot
	one := []Arg{At(0), V(1), V(16)}
	return Case{"requests", []Step{
		{abi.PhasePrepare, "checkpoint", nil, Succeeds(4)},
		poke(p, 8, 42),
		poke(p, 0, 0xffffffff),
		{p, "upload", one, Fails(abi.ENOENT)},
		{p, "reuse", one, Fails(abi.ENOENT)},
		poke(p, 0, 7<<32), // a scope that there is not
		{p, "upload", one, Fails(abi.EINVAL)},
		poke(p, 0, 1<<48), // a flag
		{p, "upload", one, Fails(abi.EINVAL)},
		poke(p, 0, 1<<32), // a flag of reuse
		{p, "reuse", one, Fails(abi.EINVAL)},
		poke(p, 0, 0),
		{p, "reuse", one, Fails(abi.ECONFLICT)}, // no base
		{p, "upload", one, Gives(1)},
		{p, "wait", []Arg{At(100), V(32), V(32)}, Gives(1)},
		peek(p, 100, 42),
		peek(p, 108, 0),
		{p, "upload", one, Gives(1)}, // once more
		{p, "wait", []Arg{At(100), V(64), V(32)}, Gives(1)},
		peek(p, 108, -int32(abi.ECONFLICT)),
		{p, "wait", []Arg{At(100), V(64), V(32)}, Gives(0)},
	}}
}

// exportCase does the same with ranges of records.
func exportCase() Case {
	const p = abi.PhaseSnapshot
	one := []Arg{At(0), V(1), V(32)}
	return Case{"exports", []Step{
		{abi.PhasePrepare, "view", nil, Gives(2)},
		poke(p, 0, 9), // a column family that there is not
		{p, "export", one, Fails(abi.ENOENT)},
		poke(p, 0, 5<<32), // key groups
		{p, "export", one, Fails(abi.EINVAL)},
		poke(p, 0, 0),
		poke(p, 8, 9<<32), // a codec
		{p, "export", one, Fails(abi.EINVAL)},
		poke(p, 8, 1<<48), // a flag
		{p, "export", one, Fails(abi.EINVAL)},
		poke(p, 8, 0),
		poke(p, 24, 43),
		{p, "export", one, Gives(1)},
		{p, "wait", []Arg{At(101), V(32), V(32)}, Gives(1)},
		peek(p, 101, 43),
		peek(p, 109, 0),
	}}
}

func handleCases() []Case {
	const p = abi.PhaseSnapshot
	view := Step{abi.PhasePrepare, "view", nil, Gives(2)}
	scan := Step{p, "scan_open", []Arg{V(0), V(0), V(0)}, Succeeds(0)}
	spec := []Step{poke(p, 0, 2), poke(p, 8, 0), poke(p, 16, 0)} // records of family 0
	stream := Step{p, "stream_open", []Arg{At(0), V(24)}, Succeeds(0)}
	cases := []Case{
		{"scans", []Step{
			view, scan,
			{p, "scan_next", []Arg{Of(1), At(0), V(1)}, Fails(abi.EBUF)},
			{p, "scan_need", []Arg{Of(1)}, Gives(109)},
			{p, "scan_next", []Arg{Of(1), At(0), V(0)}, Fails(abi.EBUF)},
			{p, "scan_next", []Arg{Of(1), At(7), V(65000)}, Succeeds(109)},
			peek(p, 7, 1),
			{p, "stream_write", []Arg{Of(1), At(0), V(0)}, Fails(abi.EBADH)},
			{p, "stream_close", []Arg{Of(1)}, Fails(abi.EBADH)},
			{p, "pump", []Arg{Of(1), Of(1), At(0), V(65000)}, Fails(abi.EBADH)},
			{p, "scan_close", []Arg{Of(1)}, Gives(0)},
			{p, "scan_close", []Arg{Of(1)}, Fails(abi.EBADH)},
			{p, "scan_next", []Arg{Of(1), At(0), V(65000)}, Fails(abi.EBADH)},
			{p, "scan_need", []Arg{Of(1)}, Fails(abi.EBADH)},
			scan,
			{p, "scan_next", []Arg{Of(1), At(0), V(65000)}, Fails(abi.EBADH)}, // of another time
			{p, "scan_next", []Arg{Of(14), At(0), V(65000)}, Succeeds(109)},
		}},
		{"streams", slices.Concat([]Step{view}, spec, []Step{
			stream,
			{p, "scan_next", []Arg{Of(4), At(0), V(65000)}, Fails(abi.EBADH)},
			{p, "scan_need", []Arg{Of(4)}, Fails(abi.EBADH)},
			{p, "scan_close", []Arg{Of(4)}, Fails(abi.EBADH)},
			{p, "stream_write", []Arg{Of(4), At(0), V(0)}, Gives(0)},
			{p, "stream_close", []Arg{Of(4)}, Gives(0)},
			{p, "stream_close", []Arg{Of(4)}, Fails(abi.EBADH)},
			{p, "stream_write", []Arg{Of(4), At(0), V(0)}, Fails(abi.EBADH)},
		})},
		{"half a record", slices.Concat([]Step{view}, spec, []Step{
			stream, poke(p, 100, 9), {p, "stream_write", []Arg{Of(4), At(100), V(9)}, Fails(abi.EINVAL)},
		})},
		{"a raw stream", []Step{
			view, poke(p, 0, 1), poke(p, 8, 0), poke(p, 16, 0), stream,
			{p, "stream_write", []Arg{Of(4), At(1), V(5)}, Gives(5)},
			{p, "stream_close", []Arg{Of(4)}, Gives(0)},
		}},
		{"kinds and flags of streams", []Step{
			view,
			poke(p, 0, 9), {p, "stream_open", []Arg{At(0), V(24)}, Fails(abi.EINVAL)},
			poke(p, 0, 0), {p, "stream_open", []Arg{At(0), V(24)}, Fails(abi.EINVAL)},
			poke(p, 0, 8<<32|1), {p, "stream_open", []Arg{At(0), V(24)}, Fails(abi.EINVAL)},
			poke(p, 0, 2), poke(p, 8, 99), {p, "stream_open", []Arg{At(0), V(24)}, Fails(abi.ENOENT)},
		}},
		{"pump", slices.Concat([]Step{view}, spec, []Step{
			stream, scan,
			{p, "pump", []Arg{Of(4), Of(5), At(0), V(60000)}, Fails(abi.EBADH)}, // the wrong way round
			{p, "pump", []Arg{Of(5), Of(4), At(0), V(1)}, Fails(abi.EBUF)},
			{p, "pump", []Arg{Of(5), Of(4), At(9), V(60000)}, Succeeds(109)},
			peek(p, 9, 1),
		})},
	}
	return append(cases, guesses(view), quotaOfHandles(view, scan))
}

// guesses are handles that nobody has given out.
func guesses(view Step) Case {
	const p = abi.PhaseSnapshot
	c := Case{"guessed handles", []Step{view}}
	for _, guess := range []int64{0, 1, 63, 64, 65, 4096, 0x7fffffff, -1, -0x80000000} {
		c.Steps = append(c.Steps,
			Step{p, "scan_next", []Arg{V(guess), At(0), V(9)}, Fails(abi.EBADH)},
			Step{p, "scan_need", []Arg{V(guess)}, Fails(abi.EBADH)},
			Step{p, "scan_close", []Arg{V(guess)}, Fails(abi.EBADH)},
			Step{p, "stream_write", []Arg{V(guess), At(0), V(9)}, Fails(abi.EBADH)},
			Step{p, "stream_close", []Arg{V(guess)}, Fails(abi.EBADH)},
			Step{p, "pump", []Arg{V(guess), V(guess), At(0), V(9)}, Fails(abi.EBADH)})
	}
	return c
}

// quotaOfHandles opens as many as there may be, and one more.
func quotaOfHandles(view, scan Step) Case {
	c := Case{"too many handles", []Step{view}}
	for range 64 {
		c.Steps = append(c.Steps, scan)
	}
	scan.Want = Fails(abi.EQUOTA)
	return Case{c.Name, append(c.Steps, scan, Step{abi.PhaseSnapshot, "scan_close", []Arg{Of(7)}, Gives(0)},
		Step{abi.PhaseSnapshot, "scan_open", []Arg{V(1), V(0), V(0)}, Succeeds(0)})}
}
