package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
)

// recordingVersion changes when older recordings cannot be read any more.
const recordingVersion = 1

// Header is the first line of a recording: what ran, and on what.
type Header struct {
	Recording int             `json:"rocksnap_recording"` // version of the format
	Strategy  string          `json:"strategy"`
	Module    string          `json:"module,omitempty"` // sha256, hex; "" for a native strategy
	ABI       string          `json:"abi"`
	RocksDB   string          `json:"rocksdb"`
	Config    json.RawMessage `json:"config,omitempty"`
}

// entry is any further line: a call, with the phase that it was made in.
type entry struct {
	Phase string  `json:"phase"`
	Call  string  `json:"call"`
	Args  []int64 `json:"args,omitempty"`
	In    []byte  `json:"in,omitempty"`
	N     int     `json:"n,omitempty"`
	Out   []byte  `json:"out,omitempty"`
	Errno string  `json:"errno,omitempty"` // name; "" for a call that succeeded
	Text  string  `json:"text,omitempty"`  // of the error
}

// Recorder writes calls down as lines of JSON, with all that was given and
// returned, so that they can be replayed. With scans and streams the records of
// the database are part of it.
type Recorder struct {
	mu  sync.Mutex
	out *json.Encoder
	err error
}

// NewRecorder starts a recording.
func NewRecorder(w io.Writer, h Header) (*Recorder, error) {
	h.Recording = recordingVersion
	r := &Recorder{out: json.NewEncoder(w)}
	if err := r.out.Encode(h); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return r, nil
}

// Around is an [Around] that writes the calls down.
func (r *Recorder) Around(c *Call, do func() (int, error)) (int, error) {
	n, err := do()
	e := entry{Phase: c.Phase.String(), Call: c.Name, Args: c.Args, In: c.In, N: n}
	if err != nil {
		e.Errno, e.Text = errnoName(abi.ErrnoOf(err)), err.Error()
	} else {
		e.Out = c.Result(n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = r.out.Encode(e)
	}
	return n, err
}

// Err returns why a recording is not whole, or nil.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("record: %w", r.err)
	}
	return nil
}

func errnoName(errno abi.Errno) string {
	if errno >= 1 && int(errno) <= len(abi.Errnos) {
		return abi.Errnos[errno-1].Name
	}
	return abi.Errnos[abi.EIO-1].Name
}
