// Package hostkit holds a host of the ABI to its word. [Cases] is a table of calls
// with good and bad arguments, and of what a host has to answer to each. Three
// guests, in Go, C and WebAssembly's text format, make those calls; they import
// every function of the ABI and run the program that their configuration holds:
//
//	{"program": "…hexadecimal…"}
//
// Whoever writes a host runs each case once in every guest: build the guests
// ([GoGuest], [C], [WAT]), give them the case's [Case.Config], take a snapshot of
// a database with the contents that [Case] describes, and keep what the guest
// reports by progress: the number of a step and its result. [Case.Check] tells
// what is wrong with it. The run itself may fail; only the steps count.
package hostkit

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

// GoGuest is the package of the guest in Go. Build it as any strategy in Go.
const GoGuest = "github.com/rocksnap/rocksnap/host/hostkit/guest"

// ArenaBytes is the size of the memory that the guests set aside for arguments.
const ArenaBytes = 64 << 10

// MaxSteps is how many steps a guest has room for.
const MaxSteps = 256

// Base says what an [Arg] counts from.
type Base uint32

// The bases, as guests know them.
const (
	Zero   Base = iota // the value itself
	Arena              // the first byte of the arena
	End                // the first address that the guest does not have
	Result             // the result of the step with the number in Value
)

// Arg is an argument of a call.
type Arg struct {
	Base  Base
	Value int64
}

// V is a plain value.
func V(value int64) Arg { return Arg{Zero, value} }

// At is an address in the arena.
func At(offset int64) Arg { return Arg{Arena, offset} }

// Beyond is an address from the end of the memory on.
func Beyond(offset int64) Arg { return Arg{End, offset} }

// Of is the result of an earlier step.
func Of(step int64) Arg { return Arg{Result, step} }

// Calls that are no functions of the host.
const (
	Poke = "poke" // writes a u64 to an address
	Peek = "peek" // returns the i32 at an address
)

// Step is one call.
type Step struct {
	Phase abi.Phase
	Call  string // a function of the ABI, or one of those above
	Args  []Arg
	Want  Want
}

// Want is what a step has to result in.
type Want struct {
	Low, High int32 // the result lies between them, both inclusive
	Trap      bool  // the guest does not live to see a result
}

// Fails wants an error.
func Fails(errno abi.Errno) Want { return Want{Low: -int32(errno), High: -int32(errno)} }

// Gives wants an exact result.
func Gives(result int32) Want { return Want{Low: result, High: result} }

// Succeeds wants any result that is no error, of at least least.
func Succeeds(least int32) Want { return Want{Low: least, High: 1<<31 - 1} }

// Traps wants the end of the guest.
var Traps = Want{Trap: true}

// String tells what is wanted.
func (w Want) String() string {
	switch {
	case w.Trap:
		return "a trap"
	case w.Low == w.High && w.Low < 0:
		return "-" + abi.Errnos[-w.Low-1].Name
	case w.Low == w.High:
		return fmt.Sprint(w.Low)
	}
	return fmt.Sprintf("%d or more", w.Low)
}

// Case is a run of a guest. The database has the column families "default", with
// id 0, and "orders", with id 1, with some records in each, of which the first
// of "default" has a key of 1 byte and a value of 100; it has no key groups. No
// snapshot of it was taken before. Everything is granted.
type Case struct {
	Name  string
	Steps []Step
}

// Restores tells whether the case is about a restore. It is then run as one, of
// a snapshot that another strategy of the same name has taken of the database.
func (c Case) Restores() bool {
	for _, s := range c.Steps {
		if s.Phase == abi.PhaseRestore {
			return true
		}
	}
	return false
}

// stepBytes is the size of a step in a program: u32 phase, u32 call, and four
// arguments of u32 base, u32 zero and i64 value.
const stepBytes = 72

// Numbers of the calls that are no functions of the host.
const (
	pokeNumber = 1000
	peekNumber = 1001
)

// Config returns the configuration that makes a guest run the case.
func (c Case) Config() []byte {
	var program []byte
	for _, s := range c.Steps {
		program = append(program, s.encode()...)
	}
	text, err := json.Marshal(map[string]string{"program": hex.EncodeToString(program)})
	if err != nil {
		panic(err) // a map of strings
	}
	return text
}

func (s Step) encode() []byte {
	out := make([]byte, stepBytes)
	binary.LittleEndian.PutUint32(out, uint32(s.Phase))
	binary.LittleEndian.PutUint32(out[4:], number(s.Call))
	for n, a := range s.Args {
		binary.LittleEndian.PutUint32(out[8+16*n:], uint32(a.Base))
		binary.LittleEndian.PutUint64(out[16+16*n:], uint64(a.Value))
	}
	return out
}

// number is that of a function in the table of the ABI.
func number(call string) uint32 {
	for n, f := range abi.Imports {
		if f.Name == call {
			return uint32(n)
		}
	}
	if call == Poke {
		return pokeNumber
	}
	return peekNumber
}

// Check compares the results that a guest has reported, by step, with what the
// case wants. trapped tells whether the guest ended in a trap.
func (c Case) Check(results map[int]int32, trapped bool) error {
	for n, s := range c.Steps {
		result, ok := results[n]
		switch {
		case s.Want.Trap && ok:
			return fmt.Errorf("%s: step %d, %s returned %d, want a trap", c.Name, n, s.Call, result)
		case s.Want.Trap && !trapped:
			return fmt.Errorf("%s: step %d, %s: no trap", c.Name, n, s.Call)
		case s.Want.Trap:
			return nil
		case !ok:
			return fmt.Errorf("%s: step %d, %s was not reached or trapped", c.Name, n, s.Call)
		case result < s.Want.Low || result > s.Want.High:
			return fmt.Errorf("%s: step %d, %s returned %d, want %s", c.Name, n, s.Call, result, s.Want)
		}
	}
	if trapped {
		return fmt.Errorf("%s: trapped after its last step", c.Name)
	}
	return nil
}
