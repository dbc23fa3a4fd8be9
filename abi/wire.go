package abi

// Type is a WebAssembly value type of a parameter or result.
type Type byte

// The types of the ABI. I32 holds unsigned offsets, lengths, counts, ids and
// handles, and signed results; I64 holds sizes and catalog slots.
const (
	None Type = 0
	I32  Type = 0x7f
	I64  Type = 0x7e
)

// Param is a named parameter.
type Param struct {
	Name string
	Type Type
}

// Func is a function of the ABI, as a row of ABI.md.
type Func struct {
	Name   string
	Params []Param
	Result Type
	Phases Phase  // where it may be called
	Grant  Grant  // what the configuration must allow; "" for always
	Doc    string // one line
}

// Grant is a capability that the configuration gives to a module. A module that
// imports a function without having its grant is not loaded.
type Grant string

// The grants, as they stand in the allow list of a configuration.
const (
	GrantCheckpoint Grant = "checkpoint" // take the checkpoint and list its files
	GrantUpload     Grant = "upload"     // have files stored
	GrantReuse      Grant = "reuse"      // refer to objects of a base
	GrantState      Grant = "state"      // keep state between snapshots
	GrantMeta       Grant = "meta"       // attach metadata
	GrantExport     Grant = "export"     // have records written without seeing them
	GrantScan       Grant = "scan"       // read records
	GrantStream     Grant = "stream"     // write objects of its own
	GrantRestore    Grant = "restore"    // steer a restore
)

// Grants lists every capability.
var Grants = []Grant{
	GrantCheckpoint, GrantUpload, GrantReuse, GrantState, GrantMeta,
	GrantExport, GrantScan, GrantStream, GrantRestore,
}

func i32(names ...string) []Param {
	params := make([]Param, len(names))
	for i, n := range names {
		params[i] = Param{n, I32}
	}
	return params
}

const (
	inData    = PhaseSnapshot
	inCapture = PhasePrepare
	inFiles   = PhasePrepare | PhaseSnapshot | PhaseRestore
	inRecords = PhasePrepare | PhaseSnapshot
)

// Imports lists the functions that the host offers to a module, in the order of
// ABI.md. Results are counts, lengths or handles when >= 0, negated error
// numbers when < 0.
var Imports = []Func{
	{"info", i32("buf", "limit"), I32, PhaseAny, "", "fill an Info record; returns its full length"},
	{"config_get", i32("buf", "limit"), I32, PhaseAny, "", "read the strategy's configuration as JSON; returns its length"},
	{"error_get", i32("buf", "limit"), I32, PhaseAny, "", "read the text of the latest error of a call or completion; returns its length"},
	{"error_set", i32("ptr", "len"), None, PhaseAny, "", "give the text of the error that the export is about to return"},
	{"log", i32("level", "ptr", "len"), None, PhaseAny, "", "write a log line; level 0 debug 1 info 2 warn 3 error"},
	{"progress", []Param{{"done", I64}, {"total", I64}}, None, PhaseAny, "", "report bytes done of a total"},
	{"cancelled", nil, I32, PhaseAny, "", "1 when the snapshot has been cancelled, else 0"},

	{"state_get", i32("key", "key_len", "buf", "limit"), I32, PhaseAny, GrantState, "read a value of the persistent state; returns its length"},
	{"state_put", i32("key", "key_len", "ptr", "len"), I32, PhasePrepare | PhaseSnapshot, GrantState, "set a value of the persistent state"},
	{"state_delete", i32("key", "key_len"), I32, PhasePrepare | PhaseSnapshot, GrantState, "remove a value of the persistent state"},
	{"meta_put", i32("key", "key_len", "ptr", "len"), I32, PhasePrepare | PhaseSnapshot, GrantMeta, "attach metadata to the manifest"},

	{"checkpoint", nil, I32, inCapture, GrantCheckpoint, "take the checkpoint; returns the number of its files"},
	{"files_read", i32("start", "buf", "limit", "rec_size"), I32, inFiles, GrantCheckpoint, "read File records; returns how many"},
	{"file_name", i32("file", "buf", "limit"), I32, inFiles, GrantCheckpoint, "read a file's name, for display; returns its length"},
	{"bases_read", i32("start", "buf", "limit", "rec_size"), I32, inCapture, GrantReuse, "read Base records, newest first; returns how many"},
	{"base_use", []Param{{"slot", I64}}, I32, inCapture, GrantReuse, "choose the base of the increment"},
	{"upload", i32("ptr", "count", "rec_size"), I32, inData, GrantUpload, "submit Upload records; returns how many were accepted"},
	{"reuse", i32("ptr", "count", "rec_size"), I32, inData, GrantReuse, "submit Reuse records; returns how many were accepted"},
	{"fetch", i32("ptr", "count", "rec_size"), I32, PhaseRestore, GrantRestore, "submit Fetch records; returns how many were accepted"},
	{"wait", i32("buf", "limit", "rec_size"), I32, PhaseSnapshot | PhaseRestore, "", "wait for submitted requests and read Completion records; returns how many"},

	{"view", nil, I32, inCapture, GrantExport, "open the view; returns the number of column families"},
	{"families_read", i32("start", "buf", "limit", "rec_size"), I32, inRecords, GrantExport, "read Family records; returns how many"},
	{"family_name", i32("family", "buf", "limit"), I32, inRecords, GrantExport, "read the name of a column family; returns its length"},
	{"export", i32("ptr", "count", "rec_size"), I32, inData, GrantExport, "submit Export records; returns how many were accepted"},
	{"scan_open", i32("family", "first_group", "last_group"), I32, inData, GrantScan, "start to read records; returns a handle"},
	{"scan_next", i32("scan", "buf", "limit"), I32, inData, GrantScan, "read whole packed records; returns their length, 0 at the end"},
	{"scan_need", i32("scan"), I32, inData, GrantScan, "length of the record that did not fit"},
	{"scan_close", i32("scan"), I32, inData, GrantScan, "end a scan"},
	{"stream_open", i32("ptr", "rec_size"), I32, inData, GrantStream, "start the object that a StreamSpec describes; returns a handle"},
	{"stream_write", i32("stream", "ptr", "len"), I32, inData, GrantStream, "append bytes; returns how many"},
	{"stream_close", i32("stream"), I32, inData, GrantStream, "end a stream once it is stored"},
	{"pump", i32("scan", "stream", "buf", "limit"), I32, inData, GrantStream, "move the next block from a scan into a stream; returns its length"},
}

// Hook is a function that a module offers to the host.
type Hook struct {
	Func
	Required bool // an optional one may be missing, or return -ENOSYS
}

// Exports lists the functions that a module offers to the host.
var Exports = []Hook{
	{Func{"rocksnap_abi", nil, I32, 0, "", "return the ABI version that the module was built for, major<<16|minor"}, true},
	{Func{"rocksnap_init", nil, I32, PhaseInit, "", "read and check the configuration"}, true},
	{Func{"rocksnap_prepare", nil, I32, PhasePrepare, "", "capture the instant"}, true},
	{Func{"rocksnap_snapshot", nil, I32, PhaseSnapshot, "", "move the data"}, true},
	{Func{"rocksnap_notify", []Param{{"event", I32}, {"slot", I64}}, I32, PhaseNotify, "", "hear what became of a snapshot: 1 complete 2 aborted 3 subsumed"}, false},
	{Func{"rocksnap_restore", nil, I32, PhaseRestore, "", "steer a restore"}, false},
}
