package catalog

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/host/blob"
)

const formatName = "format.json"

// ObjectName mints the name of the n-th object that a session stores. The
// session's UUID makes it unique for ever, so that a name is never used twice;
// the directory, one hex digit of its hash, spreads the load over the key space
// of an object store.
func ObjectName(session string, n int) string {
	base := fmt.Sprintf("%s-%06d", session, n)
	sum := blake3.Sum256([]byte(base))
	return fmt.Sprintf("objects/%x/%s", sum[0]>>4, base)
}

const savepointsPrefix = "savepoints/"

// SavepointFolder returns the beginning of the names of everything that belongs to
// a savepoint, which is a repository by itself. Its id is that of its session.
func SavepointFolder(id string) string { return savepointsPrefix + id + "/" }

// savepointOf returns the id of the savepoint in whose folder a name is, or "".
func savepointOf(name string) string {
	rest, ok := strings.CutPrefix(name, savepointsPrefix)
	id, _, below := strings.Cut(rest, "/")
	if !ok || !below || !isUUID(id) {
		return ""
	}
	return id
}

// wellFormed says whether [Session.Mint] can have minted a name.
func wellFormed(object string) bool {
	savepoint := savepointOf(object)
	if savepoint != "" {
		object = strings.TrimPrefix(object, SavepointFolder(savepoint))
	}
	base := object[strings.LastIndexByte(object, '/')+1:]
	dash := strings.LastIndexByte(base, '-')
	if dash < 0 || !isUUID(base[:dash]) {
		return false
	}
	n, err := strconv.Atoi(base[dash+1:])
	return err == nil && n >= 0 && ObjectName(base[:dash], n) == object && (savepoint == "" || savepoint == base[:dash])
}

// ModuleName returns the name of a stored wasm module, given its sha256 in hex.
func ModuleName(sha256 string) string { return "modules/" + sha256 + ".wasm" }

func entriesPrefix(database string) string { return "db/" + database + "/entries/" }

func intentsPrefix(database string) string { return "db/" + database + "/intents/" }

func notesPrefix(database string) string { return "db/" + database + "/notes/" }

func clockPrefix(database string) string { return "db/" + database + "/clock/" }

func pinsPrefix(database string) string { return "db/" + database + "/pins/" }

// sessionOf returns the session that an object's name was minted for, or "".
func sessionOf(object string) string {
	base := object[strings.LastIndexByte(object, '/')+1:]
	if dash := strings.LastIndexByte(base, '-'); dash > 0 && wellFormed(object) {
		return base[:dash]
	}
	return ""
}

// entryName is of fixed width, so that names sort as their slots do.
func entryName(database string, slot uint64) string {
	return fmt.Sprintf("%s%020d", entriesPrefix(database), slot)
}

// parseSlot returns the slot that the last element of an entry's name holds.
func parseSlot(element string) (slot uint64, ok bool) {
	slot, err := strconv.ParseUint(element, 10, 64)
	return slot, err == nil && slot > 0 && fmt.Sprintf("%020d", slot) == element
}

// isName says whether a store accepts s as one element of a name.
func isName(s string) bool {
	return !strings.Contains(s, "/") && blob.CheckName(s) == nil
}

func isUUID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}

// isDigest says whether s is a 256-bit digest in lower-case hex.
func isDigest(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && hex.EncodeToString(raw) == s
}

// IsEntry says whether a name is that of an entry of some catalog.
func IsEntry(name string) bool {
	i := strings.LastIndexByte(name, '/')
	_, ok := parseSlot(name[i+1:])
	return ok && strings.HasSuffix(name[:i+1], "/entries/")
}
