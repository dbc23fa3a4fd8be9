package mutant

import (
	"context"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// All are the mutants.
var All = slices.Concat(captures, transfers, exporters, streamers, keepers)

var captures = []Mutant{
	{Name: "does nothing at all", Prepare: nothing, Snapshot: nothing, Errno: abi.EINCOMPLETE, Text: "neither a checkpoint nor a view"},
	{Name: "takes a checkpoint and a view", Prepare: both(checkpoint, view), Snapshot: nothing, Errno: abi.ECONFLICT, Text: "view beside a checkpoint"},
	{Name: "takes a view and a checkpoint", Prepare: both(view, checkpoint), Snapshot: nothing, Errno: abi.ECONFLICT, Text: "checkpoint beside a view"},
	{Name: "takes the checkpoint too late", Prepare: nothing, Snapshot: checkpoint, Errno: abi.EPHASE, Text: "checkpoint"},
	{Name: "takes the view too late", Prepare: nothing, Snapshot: view, Errno: abi.EPHASE, Text: "view"},
	{Name: "takes a base that is not there", Prepare: func(_ context.Context, s abi.Session) error { return s.BaseUse(999) },
		Snapshot: nothing, Errno: abi.ENOENT, Text: "base 999"},
	{Name: "takes two bases", Base: true, Prepare: baseTwice, Snapshot: nothing, Errno: abi.ECONFLICT, Text: "another base is in use"},
	{Name: "takes its base when it has read the files", Base: true, Prepare: checkpoint, Snapshot: lateBase, Errno: abi.EPHASE, Text: "base_use"},
}

var transfers = []Mutant{
	{Name: "uploads nothing", Prepare: checkpoint, Snapshot: nothing, Errno: abi.EINCOMPLETE, Text: "CURRENT"},
	{Name: "drops a table", Prepare: checkpoint, Snapshot: without(abi.KindTable), Errno: abi.EINCOMPLETE, Text: ".sst"},
	{Name: "drops CURRENT", Prepare: checkpoint, Snapshot: without(abi.KindCurrent), Errno: abi.EINCOMPLETE, Text: "CURRENT"},
	{Name: "drops the OPTIONS", Prepare: checkpoint, Snapshot: without(abi.KindOptions), Errno: abi.EINCOMPLETE, Text: "OPTIONS-"},
	{Name: "drops the MANIFEST", Prepare: checkpoint, Snapshot: without(abi.KindManifest), Errno: abi.EINCOMPLETE, Text: "MANIFEST-"},
	{Name: "uploads a file twice", Prepare: checkpoint, Snapshot: uploads(func(f abi.File) int {
		if f.Kind == abi.KindTable {
			return 2
		}
		return 1
	}), Errno: abi.ECONFLICT, Text: ".sst was submitted twice"},
	{Name: "uploads one file for all", Prepare: checkpoint, Snapshot: oneFileForAll, Errno: abi.EINCOMPLETE, Text: "neither uploaded nor reused"},
	{Name: "uploads a file that is not there", Prepare: checkpoint, Snapshot: upload(abi.Upload{File: 1 << 20}), Errno: abi.ENOENT, Text: "file 1048576"},
	{Name: "uploads into no scope", Prepare: checkpoint, Snapshot: upload(abi.Upload{Scope: 7}), Errno: abi.EINVAL, Text: "scope 7"},
	{Name: "uploads with flags of its own", Prepare: checkpoint, Snapshot: upload(abi.Upload{Flags: 2}), Errno: abi.EINVAL, Text: "flags 0x2"},
	{Name: "uploads too early", Prepare: upload(abi.Upload{}), Snapshot: nothing, Errno: abi.EPHASE, Text: "upload"},
	{Name: "uploads beside a view", Prepare: view, Snapshot: upload(abi.Upload{}), Errno: abi.ENOENT, Text: "file 0"},
	{Name: "shares CURRENT", Prepare: checkpoint, Snapshot: func(ctx context.Context, s abi.Session) error {
		return abi.UploadAll(ctx, s, abi.ScopeShared)
	}, Errno: abi.EINVAL, Text: "cannot be shared"},
	{Name: "reuses without a base", Prepare: checkpoint, Snapshot: reuseAll, Errno: abi.ECONFLICT, Text: "is not in the base"},
	{Name: "reuses what is not in the base", Base: true, Prepare: increment, Snapshot: reuseAll, Errno: abi.ECONFLICT, Text: "is not in the base"},
	{Name: "reuses a file twice", Base: true, Prepare: increment, Snapshot: reuses(2, false), Errno: abi.ECONFLICT, Text: "was submitted twice"},
	{Name: "uploads what it has reused", Base: true, Prepare: increment, Snapshot: reuses(1, true), Errno: abi.ECONFLICT, Text: "was submitted twice"},
	{Name: "ignores errors", Prepare: checkpoint, Snapshot: ignoresErrors, Errno: abi.EINCOMPLETE, Text: "neither uploaded nor reused"},
}

var exporters = []Mutant{
	{Name: "forgets a column family", Prepare: view, Snapshot: exports(wholeDefault), Errno: abi.EINCOMPLETE, Text: `column family "orders"`},
	{Name: "exports everything twice", Prepare: view, Snapshot: exports(wholeDefault, wholeOrders, wholeDefault, wholeOrders),
		Errno: abi.EINCOMPLETE, Text: `column family "default"`},
	{Name: "exports a column family that is not there", Prepare: view, Snapshot: exports([3]uint32{99, 0, 0}), Errno: abi.ENOENT, Text: "column family 99"},
	{Name: "exports key groups that are not there", Prepare: view, Snapshot: exports([3]uint32{0, 0, 5}), Errno: abi.EINVAL, Text: "the database holds 0 to 0"},
	{Name: "exports overlapping ranges", Groups: 16, Prepare: view, Snapshot: exports([3]uint32{0, 0, 8}, [3]uint32{0, 8, 15}, [3]uint32{1, 0, 15}),
		Errno: abi.EINCOMPLETE, Text: "expected to go on at 9"},
	{Name: "leaves a gap between ranges", Groups: 16, Prepare: view, Snapshot: exports([3]uint32{0, 0, 6}, [3]uint32{0, 8, 15}, [3]uint32{1, 0, 15}),
		Errno: abi.EINCOMPLETE, Text: "expected to go on at 7"},
	{Name: "leaves out the last key group", Groups: 16, Prepare: view, Snapshot: exports([3]uint32{0, 0, 14}, [3]uint32{1, 0, 15}),
		Errno: abi.EINCOMPLETE, Text: "key groups 15 to 15 were not exported"},
	{Name: "exports in a codec of its own", Prepare: view, Snapshot: export(abi.Export{Codec: 9}), Errno: abi.EINVAL, Text: "codec 9"},
}

var streamers = []Mutant{
	{Name: "drops records", Prepare: view, Snapshot: copied(dropLast), Errno: abi.ECONFLICT, Text: "records written"},
	{Name: "duplicates records", Prepare: view, Snapshot: copied(repeatFirst), Errno: abi.EINVAL, Text: "does not come after key"},
	{Name: "reorders records", Prepare: view, Snapshot: copied(backwards), Errno: abi.EINVAL, Text: "does not come after key"},
	{Name: "forges a value", Prepare: view, Snapshot: copied(forgeValue), Errno: abi.ECONFLICT, Text: "content differs"},
	{Name: "invents a record", Prepare: view, Snapshot: copied(invent), Errno: abi.ECONFLICT, Text: "records written"},
	{Name: "writes half a record", Prepare: view, Snapshot: copied(cutShort), Errno: abi.EINVAL, Text: "write record"},
	{Name: "forges a length", Prepare: view, Snapshot: copied(forgeLength), Errno: abi.EINVAL, Text: "write record 0"},
	{Name: "writes a column family as another", Prepare: view, Snapshot: wrongFamily, Errno: abi.EINCOMPLETE, Text: `column family "orders"`},
	{Name: "writes a range twice", Prepare: view, Snapshot: twoStreams, Errno: abi.EINCOMPLETE, Text: "expected to go on at 1"},
	{Name: "writes records that it has not read", Prepare: view, Snapshot: unread, Errno: abi.EINCOMPLETE, Text: "not scanned to their end"},
	{Name: "never closes a stream", Prepare: view, Snapshot: stream(abi.StreamSpec{Kind: abi.StreamRecords}), Errno: abi.EINCOMPLETE, Text: "1 streams were not closed"},
	{Name: "forges key groups", Prepare: view, Snapshot: stream(abi.StreamSpec{Kind: abi.StreamRecords, LastGroup: 5}), Errno: abi.EINVAL, Text: "the database holds 0 to 0"},
	{Name: "opens a stream of no kind", Prepare: view, Snapshot: stream(abi.StreamSpec{Kind: 9}), Errno: abi.EINVAL, Text: "stream kind 9"},
	{Name: "streams records beside a checkpoint", Prepare: checkpoint, Snapshot: stream(abi.StreamSpec{Kind: abi.StreamRecords}), Errno: abi.ENOENT, Text: "column family 0"},
	{Name: "scans backwards", Prepare: view, Snapshot: scanOf(0, 5, 1), Errno: abi.EINVAL, Text: "key groups 5 to 1"},
}

var keepers = []Mutant{
	{Name: "keeps more state than it may", Prepare: checkpoint, Snapshot: func(_ context.Context, s abi.Session) error {
		return s.StatePut("much", make([]byte, abi.MaxState))
	}, Errno: abi.EQUOTA, Text: "state of"},
	{Name: "attaches more metadata than it may", Prepare: checkpoint, Snapshot: func(_ context.Context, s abi.Session) error {
		return s.MetaPut("much", make([]byte, abi.MaxMeta))
	}, Errno: abi.EQUOTA, Text: "metadata of"},
	{Name: "uses a key that is too long", Prepare: checkpoint, Snapshot: func(_ context.Context, s abi.Session) error {
		return s.StatePut(strings.Repeat("k", abi.MaxKey+1), nil)
	}, Errno: abi.EINVAL, Text: "must be 1 to 256 bytes"},
}

// both does one thing after the other.
func both(first, second func(context.Context, abi.Session) error) func(context.Context, abi.Session) error {
	return func(ctx context.Context, s abi.Session) error {
		if err := first(ctx, s); err != nil {
			return err
		}
		return second(ctx, s)
	}
}
