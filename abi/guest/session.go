package guest

import (
	"unsafe"

	"github.com/rocksnap/rocksnap/abi"
)

// session is abi.Session over the wire. Each method calls exactly the function
// that bears its name, so that the linker can drop what a strategy leaves out.
type session struct{}

var _ abi.Session = session{}

func (session) Info() (abi.Info, error) {
	info := make([]abi.Info, 1)
	memory := abi.Bytes(info)
	_, err := count("info", infoGet(pointer(memory), length(memory)))
	return info[0], err
}

func (session) Config() ([]byte, error) { return read("config_get", configGet) }

func (session) StateGet(key string) ([]byte, error) {
	k := []byte(key)
	return read("state_get", func(buf unsafe.Pointer, limit uint32) int32 {
		return stateGet(pointer(k), length(k), buf, limit)
	})
}

func (session) StatePut(key string, value []byte) error {
	k := []byte(key)
	return check("state_put", statePut(pointer(k), length(k), pointer(value), length(value)))
}

func (session) StateDelete(key string) error {
	k := []byte(key)
	return check("state_delete", stateDelete(pointer(k), length(k)))
}

func (session) MetaPut(key string, value []byte) error {
	k := []byte(key)
	return check("meta_put", metaPut(pointer(k), length(k), pointer(value), length(value)))
}

func (session) Log(level abi.Level, message string) {
	line := []byte(message)
	log(uint32(level), pointer(line), length(line))
}

func (session) Progress(done, total uint64) { progress(done, total) }

func (session) Checkpoint() (int, error) { return count("checkpoint", checkpoint()) }

func (session) View() (int, error) { return count("view", view()) }

func (session) BasesRead(start int, dst []abi.Base) (int, error) {
	memory := abi.Bytes(dst)
	return count("bases_read", basesRead(uint32(start), pointer(memory), length(memory), size[abi.Base]()))
}

func (session) BaseUse(slot uint64) error { return check("base_use", baseUse(slot)) }

func (session) FilesRead(start int, dst []abi.File) (int, error) {
	memory := abi.Bytes(dst)
	return count("files_read", filesRead(uint32(start), pointer(memory), length(memory), size[abi.File]()))
}

func (session) FileName(id uint32) (string, error) {
	name, err := read("file_name", func(buf unsafe.Pointer, limit uint32) int32 { return fileName(id, buf, limit) })
	return string(name), err
}

func (session) Upload(reqs []abi.Upload) (int, error) {
	return count("upload", upload(pointer(abi.Bytes(reqs)), uint32(len(reqs)), size[abi.Upload]()))
}

func (session) Reuse(reqs []abi.Reuse) (int, error) {
	return count("reuse", reuse(pointer(abi.Bytes(reqs)), uint32(len(reqs)), size[abi.Reuse]()))
}

func (session) Fetch(reqs []abi.Fetch) (int, error) {
	return count("fetch", fetch(pointer(abi.Bytes(reqs)), uint32(len(reqs)), size[abi.Fetch]()))
}

func (session) Wait(dst []abi.Completion) (int, error) {
	memory := abi.Bytes(dst)
	return count("wait", wait(pointer(memory), length(memory), size[abi.Completion]()))
}

func (session) FamiliesRead(start int, dst []abi.Family) (int, error) {
	memory := abi.Bytes(dst)
	return count("families_read", familiesRead(uint32(start), pointer(memory), length(memory), size[abi.Family]()))
}

func (session) FamilyName(id uint32) (string, error) {
	name, err := read("family_name", func(buf unsafe.Pointer, limit uint32) int32 { return familyName(id, buf, limit) })
	return string(name), err
}

func (session) Export(reqs []abi.Export) (int, error) {
	return count("export", export(pointer(abi.Bytes(reqs)), uint32(len(reqs)), size[abi.Export]()))
}
