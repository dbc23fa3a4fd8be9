// Command canonical is the strategy that writes every live record in the public
// canonical format, which any engine can load. The records never enter the
// module: it says what to export, and the host streams.
package main

import (
	"context"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(&canonical{Codec: "zstd"}) }

func main() {}

type canonical struct {
	Codec      string `json:"codec"`       // "zstd" or "none"
	FrameBytes uint32 `json:"frame_bytes"` // before compression; 0 for the host's choice

	families int
}

var codecs = map[string]abi.Codec{"none": abi.CodecNone, "zstd": abi.CodecZstd}

// Init reads codec and frame_bytes.
func (c *canonical) Init(_ context.Context, s abi.Session) error {
	if err := guest.Config(s, c); err != nil {
		return err
	}
	if _, ok := codecs[c.Codec]; !ok {
		return fmt.Errorf("codec must be zstd or none, not %q: %w", c.Codec, abi.EINVAL)
	}
	return nil
}

// Prepare opens the view that all ranges are read from.
func (c *canonical) Prepare(_ context.Context, s abi.Session) (err error) {
	c.families, err = s.View()
	return err
}

// Snapshot exports every column family over all key groups of the database.
func (c *canonical) Snapshot(ctx context.Context, s abi.Session) error {
	info, err := s.Info()
	if err != nil {
		return err
	}
	families := make([]abi.Family, c.families)
	if _, err := s.FamiliesRead(0, families); err != nil {
		return err
	}
	exports := make([]abi.Export, len(families))
	for i, f := range families {
		exports[i] = abi.Export{
			Family:     f.ID,
			FirstGroup: info.GroupFirst,
			LastGroup:  info.GroupLast,
			Codec:      codecs[c.Codec],
			FrameBytes: c.FrameBytes,
		}
	}
	return abi.ExportAll(ctx, s, exports)
}
