package hostkit_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/hostkit"
)

// FuzzCalls has a guest make any calls with any arguments. The real host may refuse
// them and end the guest, but it is never at fault itself, and what it publishes
// restores. The corpus holds the cases of the table, as programs.
func FuzzCalls(f *testing.F) {
	s := newStage(f, guests[0].build(f))
	f.Fuzz(func(t *testing.T, program []byte) {
		s.results, s.program = make(map[int]int32), configOf(t, sensible(program))
		m, err := s.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "kit"})
		require.NotErrorIs(t, err, abi.EINTERNAL)
		if len(program) >= stepBytes && err == nil {
			require.NotEmpty(t, s.results)
		}
		if err == nil && m.Kind != "custom" {
			_, err := s.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "restored")})
			require.NoError(t, err)
		}
	})
}

// stepBytes is the size of a step in a program.
const stepBytes = 72

// sensible makes every step one that the guest understands: it calls a function of
// the ABI, with arguments from a base that there is.
func sensible(program []byte) []byte {
	most := min(len(program)/stepBytes, hostkit.MaxSteps)
	program = append([]byte{}, program[:most*stepBytes]...)
	for at := 0; at < len(program); at += stepBytes {
		step := program[at : at+stepBytes]
		limit(step, uint32(abi.PhaseSnapshot)<<1)
		limit(step[4:], uint32(len(abi.Imports)))
		for argument := 8; argument < stepBytes; argument += 16 {
			limit(step[argument:], uint32(hostkit.End)+1)
		}
	}
	return program
}

func limit(field []byte, below uint32) {
	binary.LittleEndian.PutUint32(field, binary.LittleEndian.Uint32(field)%below)
}

func configOf(t *testing.T, program []byte) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]string{"program": hex.EncodeToString(program)})
	require.NoError(t, err)
	return text
}

// TestFuzzCorpus finds every case of the table in the corpus; with
// ROCKSNAP_UPDATE_CORPUS set it writes them there.
func TestFuzzCorpus(t *testing.T) {
	folder := filepath.Join("testdata", "fuzz", "FuzzCalls")
	for n, c := range hostkit.Cases() {
		if c.Restores() {
			continue
		}
		var config struct{ Program string }
		require.NoError(t, json.Unmarshal(c.Config(), &config))
		program, err := hex.DecodeString(config.Program)
		require.NoError(t, err)
		file := filepath.Join(folder, fmt.Sprintf("case-%03d", n))
		want := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", program)
		if os.Getenv("ROCKSNAP_UPDATE_CORPUS") != "" {
			require.NoError(t, os.MkdirAll(folder, 0o755))
			require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err, "write it with ROCKSNAP_UPDATE_CORPUS=1")
		assert.Equal(t, want, string(text), c.Name)
	}
}
