package host

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/blake3"
)

// Sample is one of several runs that together read everything, each thing once, as
// long as nothing is added. The zero Sample reads everything.
type Sample struct {
	N  int // of this run, from 1
	Of int // number of runs
}

const sampleHint = "a sample is n/t, as in 2/7: the second of seven runs that together read everything"

// ParseSample reads what [Sample.String] writes. "" is the zero Sample.
func ParseSample(text string) (Sample, error) {
	if text == "" {
		return Sample{}, nil
	}
	first, second, _ := strings.Cut(text, "/")
	n, errN := strconv.Atoi(first)
	of, errOf := strconv.Atoi(second)
	if errN != nil || errOf != nil || n < 1 || n > of {
		return Sample{}, problem(CodeUsage, fmt.Errorf("no sample %q", text), sampleHint)
	}
	return Sample{n, of}, nil
}

// String returns the sample as in "2/7".
func (s Sample) String() string { return fmt.Sprintf("%d/%d", s.N, s.Of) }

// takes says whether something, by its name, belongs to this run. Names are not
// used twice, so each has its run for ever.
func (s Sample) takes(name string) bool {
	if s.Of == 0 {
		return true
	}
	sum := blake3.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:8])%uint64(s.Of) == uint64(s.N-1)
}
