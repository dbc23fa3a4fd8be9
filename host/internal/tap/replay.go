package tap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
)

// Replay answers a strategy from a recording, without a database. It holds the
// strategy to what was recorded: the same calls, in the same order, with the same
// arguments.
type Replay struct {
	Header Header

	mu     sync.Mutex
	phases map[string][]entry // what is left of each
	at     map[string]int     // calls made so far in each
	err    error
}

// ReadRecording reads a recording. Its error names the line.
func ReadRecording(r io.Reader) (*Replay, error) {
	lines := json.NewDecoder(r)
	replay := &Replay{phases: make(map[string][]entry), at: make(map[string]int)}
	if err := lines.Decode(&replay.Header); err != nil || replay.Header.Recording == 0 {
		return nil, fmt.Errorf("read recording: line 1 is no header of a recording: %w", errors.Join(abi.EINVAL, err))
	}
	if v := replay.Header.Recording; v != recordingVersion {
		return nil, fmt.Errorf("read recording: its version is %d, this program reads %d: %w", v, recordingVersion, abi.EINVAL)
	}
	for line := 2; ; line++ {
		var e entry
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) {
			return replay, nil
		}
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return nil, fmt.Errorf("read recording: line %d: %w", line, err)
		}
		replay.phases[e.Phase] = append(replay.phases[e.Phase], e)
	}
}

// check refuses what no [Recorder] writes.
func (e *entry) check() error {
	if !slices.Contains(Names, e.Call) {
		return fmt.Errorf("unknown call %q: %w", e.Call, abi.EINVAL)
	}
	if e.N < 0 || e.N > math.MaxInt32 {
		return fmt.Errorf("%s returned %d: %w", e.Call, e.N, abi.EINVAL)
	}
	if e.Errno == "" {
		return nil
	}
	_, err := errnoNamed(e.Errno)
	return err
}

// Session returns the session of a phase, which others may watch. What the strategy
// logs is dropped.
func (r *Replay) Session(phase abi.Phase, watch ...Around) abi.Session {
	return &session{Session: silent{}, phase: phase, around: Chain(append(watch, r.answer)...)}
}

// silent takes what a strategy tells. It is asked for nothing else.
type silent struct{ abi.Session }

func (silent) Log(abi.Level, string)   {}
func (silent) Progress(uint64, uint64) {}

// answer is the [Around] of a replay. After the first difference nothing that was
// recorded fits any more, so that every further call fails with it.
func (r *Replay) answer(c *Call, _ func() (int, error)) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	phase := c.Phase.String()
	r.at[phase]++
	if len(r.phases[phase]) == 0 {
		return 0, r.differ("call %d in %s: the strategy calls %s, the recording has no more calls", r.at[phase], phase, describe(c.Name, c.Args, c.In))
	}
	e := r.phases[phase][0]
	r.phases[phase] = r.phases[phase][1:]
	if difference := e.compare(c); difference != "" {
		return 0, r.differ("call %d in %s: %s", r.at[phase], phase, difference)
	}
	if e.Errno != "" {
		errno, _ := errnoNamed(e.Errno) // checked when it was read
		return e.N, &abi.Error{Errno: errno, Text: e.Text}
	}
	if c.unit > 0 && e.N*c.unit > len(c.Out) || c.unit > 0 && e.N*c.unit != len(e.Out) {
		return 0, r.differ("call %d in %s: the recorded result of %s does not fit: the recording is damaged", r.at[phase], phase, c.Name)
	}
	c.answer(e.Out)
	return e.N, nil
}

func (r *Replay) differ(format string, args ...any) error {
	r.err = fmt.Errorf("replay: "+format+": %w", append(args, abi.ECONFLICT)...)
	return r.err
}

// Err returns the first difference; at the end of a run, also calls that were
// recorded and not made. It is nil when the strategy did what was recorded.
func (r *Replay) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	for _, phase := range []abi.Phase{abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot} {
		if left := r.phases[phase.String()]; len(left) > 0 {
			return fmt.Errorf("replay: the strategy ended %s after %d calls, the recording goes on with %s: %w",
				phase, r.at[phase.String()], describe(left[0].Call, left[0].Args, left[0].In), abi.ECONFLICT)
		}
	}
	return nil
}

// compare says how a call differs from what was recorded; "" when it does not.
func (e *entry) compare(c *Call) string {
	switch {
	case e.Call != c.Name || !slices.Equal(e.Args, c.Args) || len(e.In) != len(c.In):
		return fmt.Sprintf("the strategy calls %s, recorded was %s", describe(c.Name, c.Args, c.In), describe(e.Call, e.Args, e.In))
	case !bytes.Equal(e.In, c.In):
		at := 0
		for e.In[at] == c.In[at] {
			at++
		}
		return fmt.Sprintf("the strategy calls %s with other bytes than recorded, from byte %d on", describe(c.Name, c.Args, c.In), at)
	}
	return ""
}

// describe is a call for people.
func describe(name string, args []int64, in []byte) string {
	var parts []string
	for _, a := range args {
		parts = append(parts, fmt.Sprint(a))
	}
	if len(in) > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes", len(in)))
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}
