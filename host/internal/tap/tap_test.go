package tap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/tap"
)

// session is a small world: three files, one scan of two blocks.
type session struct {
	abi.Session
	phase   abi.Phase
	pending []uint64
	blocks  [][]byte
}

func (s *session) Info() (abi.Info, error) {
	return abi.Info{ABI: abi.Version, Phase: s.phase, TimeMs: 42}, nil
}
func (s *session) Config() ([]byte, error)       { return []byte(`{"depth":3}`), nil }
func (s *session) Log(abi.Level, string)         {}
func (s *session) StatePut(string, []byte) error { return nil }
func (s *session) StateGet(key string) ([]byte, error) {
	return nil, &abi.Error{Errno: abi.ENOENT, Text: "state " + key + ": not found"}
}

func (s *session) FilesRead(start int, dst []abi.File) (int, error) {
	n := 0
	for ; n < len(dst) && start+n < 3; n++ {
		dst[n] = abi.File{ID: uint32(start + n), Size: 100}
	}
	return n, nil
}

func (s *session) Upload(reqs []abi.Upload) (int, error) {
	for _, r := range reqs {
		s.pending = append(s.pending, r.User)
	}
	return len(reqs), nil
}

func (s *session) Wait(dst []abi.Completion) (int, error) {
	if len(s.pending) == 0 {
		return 0, nil
	}
	dst[0] = abi.Completion{User: s.pending[0], Bytes: 100}
	s.pending = s.pending[1:]
	return 1, nil
}

func (s *session) ScanOpen(uint32, uint32, uint32) (abi.Scan, error) { return &scan{s}, nil }

type scan struct{ s *session }

func (c *scan) Next(buf []byte) (int, error) {
	if len(c.s.blocks) == 0 {
		return 0, nil
	}
	if len(buf) < len(c.s.blocks[0]) {
		return 0, abi.EBUF
	}
	n := copy(buf, c.s.blocks[0])
	c.s.blocks = c.s.blocks[1:]
	return n, nil
}
func (c *scan) Need() int    { return len(c.s.blocks[0]) }
func (c *scan) Close() error { return nil }

// work is what a strategy does, with everything that it has seen.
func work(s abi.Session) (seen []string, err error) {
	note := func(text string) { seen = append(seen, text) }
	info, err := s.Info()
	if err != nil {
		return nil, err
	}
	note(info.Phase.String())
	config, err := s.Config()
	if err != nil {
		return nil, err
	}
	note(string(config))
	s.Log(abi.LevelInfo, "at work")
	if _, err := s.StateGet("key"); !errors.Is(err, abi.ENOENT) {
		return nil, errors.Join(errors.New("no state was expected"), err)
	} else {
		note(err.Error())
	}
	if err := s.StatePut("key", []byte("value")); err != nil {
		return nil, err
	}
	err = abi.UploadAll(context.Background(), s, abi.ScopePrivate)
	if err != nil {
		return nil, err
	}
	scan, err := s.ScanOpen(0, 0, 0)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	buf := make([]byte, 4)
	for {
		n, err := scan.Next(buf)
		switch {
		case errors.Is(err, abi.EBUF):
			buf = make([]byte, scan.Need())
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return seen, nil
		}
		note(string(buf[:n]))
	}
}

func world() *session {
	return &session{phase: abi.PhaseSnapshot, blocks: [][]byte{[]byte("abc"), []byte("defghi")}}
}

func recorded(t *testing.T) (text []byte, seen []string) {
	t.Helper()
	var out bytes.Buffer
	r, err := tap.NewRecorder(&out, tap.Header{Strategy: "s", ABI: "1.0"})
	require.NoError(t, err)
	seen, err = work(tap.Wrap(world(), r.Around))
	require.NoError(t, err)
	require.NoError(t, r.Err())
	return out.Bytes(), seen
}

func TestReplayGivesWhatWasRecorded(t *testing.T) {
	text, seen := recorded(t)
	assert.Equal(t, []string{"snapshot", `{"depth":3}`, "state key: not found", "abc", "defghi"}, seen)
	r, err := tap.ReadRecording(bytes.NewReader(text))
	require.NoError(t, err)
	assert.Equal(t, "s", r.Header.Strategy)
	again, err := work(r.Session(abi.PhaseSnapshot))
	require.NoError(t, err)
	assert.Equal(t, seen, again)
	assert.NoError(t, r.Err())
}

func TestReplayTellsTheFirstDifference(t *testing.T) {
	text, _ := recorded(t)
	tests := map[string]struct {
		do   func(s abi.Session)
		text string
	}{
		"another call": {func(s abi.Session) { _, _ = s.Config() },
			"call 1 in snapshot: the strategy calls config(), recorded was info()"},
		"other bytes": {func(s abi.Session) { _, _ = s.Info(); _, _ = s.Config(); _, _ = s.StateGet("kez") },
			"call 3 in snapshot: the strategy calls state_get(3 bytes) with other bytes than recorded, from byte 2 on"},
		"other numbers": {func(s abi.Session) {
			_, _ = s.Info()
			_, _ = s.Config()
			_, _ = s.StateGet("key")
			_ = s.StatePut("key", []byte("value"))
			_, _ = s.FilesRead(1, make([]abi.File, 1024))
		}, "call 5 in snapshot: the strategy calls files_read(1, 1024), recorded was files_read(0, 1024)"},
		"too few calls": {func(s abi.Session) { _, _ = s.Info() },
			"the strategy ended snapshot after 1 calls, the recording goes on with config()"},
		"too many calls": {func(s abi.Session) { _, _ = work(s); _ = s.StatePut("key", nil) },
			"the strategy calls state_put(3, 3 bytes), the recording has no more calls"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := tap.ReadRecording(bytes.NewReader(text))
			require.NoError(t, err)
			test.do(r.Session(abi.PhaseSnapshot))
			require.ErrorContains(t, r.Err(), test.text)
			require.ErrorIs(t, r.Err(), abi.ECONFLICT)
		})
	}
}

func TestReadRecordingRefusesNonsense(t *testing.T) {
	const header = `{"rocksnap_recording":1}` + "\n"
	for text, message := range map[string]string{
		"":                                "line 1 is no header",
		"{}":                              "line 1 is no header",
		`{"rocksnap_recording":2}`:        "its version is 2, this program reads 1",
		header + "nonsense":               "line 2: ",
		header + `{"call":"unlink"}`:      `line 2: unknown call "unlink"`,
		header + `{"call":"view","n":-1}`: "line 2: view returned -1",
		header + `{"call":"view"}` + `{"call":"view","errno":"E"}`: `line 3: nothing is called "E"`,
	} {
		_, err := tap.ReadRecording(strings.NewReader(text))
		require.ErrorContains(t, err, message, text)
	}
}

// A result that does not fit is no reason to write beyond the strategy's memory.
func TestReplayOfADamagedResult(t *testing.T) {
	for _, result := range []string{`"n":2,"out":"AAAA"`, `"n":2`, `"n":2147483647,"out":""`} {
		r, err := tap.ReadRecording(strings.NewReader(`{"rocksnap_recording":1}{"phase":"snapshot","call":"files_read","args":[0,1],` + result + `}`))
		require.NoError(t, err)
		_, err = r.Session(abi.PhaseSnapshot).FilesRead(0, make([]abi.File, 1))
		require.ErrorContains(t, err, "the recording is damaged", result)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		spec, failed string
		errno        abi.Errno
	}{
		{"upload=EIO", "upload", abi.EIO},
		{"*:5=ETIMEDOUT", "files_read", abi.ETIMEDOUT},
		{"files_read:2=EQUOTA", "files_read", abi.EQUOTA},
		{"wait:9=EIO, config:1=EPERM", "config", abi.EPERM},
	}
	for _, test := range tests {
		faults, err := tap.ParseFaults(test.spec)
		require.NoError(t, err)
		var trace tap.Trace
		_, err = work(tap.Wrap(world(), tap.Chain(trace.Around, tap.Faulty(faults, func() { t.Error("nobody cancelled") }).Around)))
		require.ErrorIs(t, err, test.errno, test.spec)
		lines := trace.Lines()
		assert.Contains(t, lines[len(lines)-1], test.failed+": "+test.failed+": injected fault", test.spec)
	}
}

func TestFaultCancels(t *testing.T) {
	faults, err := tap.ParseFaults("wait:2=cancel")
	require.NoError(t, err)
	var trace tap.Trace
	at := 0
	_, err = work(tap.Wrap(world(), tap.Chain(trace.Around, tap.Faulty(faults, func() { at = trace.Calls() }).Around)))
	require.NoError(t, err, "what a cancel does is the host's")
	assert.Equal(t, 8, at, "info, config, state_get, state_put, files_read, upload, files_read, wait are before it")
}

func TestFaultsThatNeverHappenAreTold(t *testing.T) {
	faults, err := tap.ParseFaults("reuse:1=EIO,wait:2=cancel,upload:9=EQUOTA,fetch=cancel")
	require.NoError(t, err)
	f := tap.Faulty(faults, func() {})
	_, err = work(tap.Wrap(world(), f.Around))
	require.NoError(t, err)
	assert.Equal(t, "[reuse:1=EIO upload:9=EQUOTA fetch=cancel]", fmt.Sprint(f.Unfired()))
}

func TestParseFaultsSaysWhatIsRight(t *testing.T) {
	for spec, message := range map[string]string{
		"":             `fault "": want CALL[:N]=WHAT, as in upload:2=EIO`,
		"upload":       `fault "upload": want CALL[:N]=WHAT`,
		"unlink=EIO":   `no call "unlink" can fail; there are *, info, config,`,
		"log=EIO":      `no call "log" can fail`,
		"upload:0=EIO": `"0" is not the number of a call, which counts from 1`,
		"upload:x=EIO": `"x" is not the number of a call`,
		"upload=eio":   `nothing is called "eio"; there are cancel, EINVAL,`,
		"wait=EIO,":    `fault "": want`,
	} {
		_, err := tap.ParseFaults(spec)
		require.ErrorContains(t, err, message, spec)
	}
}

func TestTrace(t *testing.T) {
	var trace tap.Trace
	trace.Title("# run")
	_, err := work(tap.Wrap(world(), trace.Around))
	require.NoError(t, err)
	assert.Equal(t, `# run
info 0
config 0
state_get: state key: not found
state_put 0
files_read 3
upload 3
files_read 0
wait
scan_open 0
scan_next 3
scan_next: buffer too small
scan_next 6
scan_next 0
`, trace.String())
	assert.Equal(t, 15, trace.Calls(), "each wait counts")
}

// Names are those of the table, but for what cannot fail.
func TestNamesAreThoseOfTheTable(t *testing.T) {
	want := map[string]bool{}
	for _, f := range abi.Imports {
		want[strings.Replace(f.Name, "config_get", "config", 1)] = true
	}
	for _, harmless := range []string{"error_get", "error_set", "log", "progress", "cancelled", "scan_need", "scan_close"} {
		delete(want, harmless)
	}
	got := map[string]bool{}
	for _, name := range tap.Names {
		got[name] = true
	}
	assert.Equal(t, want, got)
}

// Notifications change nothing any more, so nothing stands around them.
func TestNotificationsAreLeftAlone(t *testing.T) {
	s := world()
	s.phase = abi.PhaseNotify
	wrapped := tap.Wrap(s, func(c *tap.Call, _ func() (int, error)) (int, error) { return 0, abi.EIO })
	_, err := wrapped.Config()
	require.NoError(t, err)
}
