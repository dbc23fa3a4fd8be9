package tap

import "github.com/rocksnap/rocksnap/abi"

// session is a session with something around each of its calls.
type session struct {
	abi.Session
	phase  abi.Phase
	around Around
	opened int64 // scans and streams so far, which are known by their numbers
}

func (s *session) call(c Call, do func(c *Call) (int, error)) (*Call, int, error) {
	c.Phase = s.phase
	n, err := s.around(&c, func() (int, error) { return do(&c) })
	return &c, n, err
}

// count makes a call that returns a number.
func (s *session) count(c Call, do func() (int, error)) (int, error) {
	_, n, err := s.call(c, func(*Call) (int, error) { return do() })
	return n, err
}

// act makes a call that returns nothing.
func (s *session) act(c Call, do func() error) error {
	_, err := s.count(c, func() (int, error) { return 0, do() })
	return err
}

// value makes a call that returns a value of any length.
func (s *session) value(c Call, do func() ([]byte, error)) ([]byte, error) {
	made, _, err := s.call(c, func(c *Call) (n int, err error) { c.Out, err = do(); return 0, err })
	if err != nil {
		return nil, err
	}
	return made.Out, nil
}

// list makes a call that fills records.
func list[R abi.Record](s *session, name string, args []int64, dst []R, do func() (int, error)) (int, error) {
	c := Call{Name: name, Args: append(args, int64(len(dst))), Out: abi.Bytes(dst), unit: abi.Size[R]()}
	return s.count(c, do)
}

// submit makes a call that hands over records.
func submit[R abi.Record](s *session, name string, reqs []R, do func([]R) (int, error)) (int, error) {
	return s.count(Call{Name: name, In: abi.Bytes(reqs)}, func() (int, error) { return do(reqs) })
}

// Info implements [abi.Control].
func (s *session) Info() (abi.Info, error) {
	info := make([]abi.Info, 1)
	err := s.act(Call{Name: "info", Out: abi.Bytes(info)}, func() (err error) { info[0], err = s.Session.Info(); return err })
	return info[0], err
}

// Config implements [abi.Control].
func (s *session) Config() ([]byte, error) {
	return s.value(Call{Name: "config"}, s.Session.Config)
}

// StateGet implements [abi.Control].
func (s *session) StateGet(key string) ([]byte, error) {
	return s.value(Call{Name: "state_get", In: []byte(key)}, func() ([]byte, error) { return s.Session.StateGet(key) })
}

// StatePut implements [abi.Control].
func (s *session) StatePut(key string, value []byte) error {
	return s.act(pair("state_put", key, value), func() error { return s.Session.StatePut(key, value) })
}

// StateDelete implements [abi.Control].
func (s *session) StateDelete(key string) error {
	return s.act(Call{Name: "state_delete", In: []byte(key)}, func() error { return s.Session.StateDelete(key) })
}

// MetaPut implements [abi.Control].
func (s *session) MetaPut(key string, value []byte) error {
	return s.act(pair("meta_put", key, value), func() error { return s.Session.MetaPut(key, value) })
}

// pair is a call with a key and a value.
func pair(name, key string, value []byte) Call {
	return Call{Name: name, Args: []int64{int64(len(key))}, In: append([]byte(key), value...)}
}

// Checkpoint implements [abi.Capture].
func (s *session) Checkpoint() (int, error) {
	return s.count(Call{Name: "checkpoint"}, func() (int, error) { return s.Session.Checkpoint() })
}

// View implements [abi.Capture].
func (s *session) View() (int, error) {
	return s.count(Call{Name: "view"}, func() (int, error) { return s.Session.View() })
}

// BasesRead implements [abi.Capture].
func (s *session) BasesRead(start int, dst []abi.Base) (int, error) {
	return list(s, "bases_read", []int64{int64(start)}, dst, func() (int, error) { return s.Session.BasesRead(start, dst) })
}

// BaseUse implements [abi.Capture].
func (s *session) BaseUse(slot uint64) error {
	return s.act(Call{Name: "base_use", Args: []int64{int64(slot)}}, func() error { return s.Session.BaseUse(slot) })
}

// FilesRead implements [abi.Files].
func (s *session) FilesRead(start int, dst []abi.File) (int, error) {
	return list(s, "files_read", []int64{int64(start)}, dst, func() (int, error) { return s.Session.FilesRead(start, dst) })
}

// FileName implements [abi.Files].
func (s *session) FileName(id uint32) (string, error) {
	return s.name("file_name", id, func() (string, error) { return s.Session.FileName(id) })
}

func (s *session) name(call string, id uint32, do func() (string, error)) (string, error) {
	text, err := s.value(Call{Name: call, Args: []int64{int64(id)}}, func() ([]byte, error) {
		name, err := do()
		return []byte(name), err
	})
	return string(text), err
}

// Upload implements [abi.Files].
func (s *session) Upload(reqs []abi.Upload) (int, error) {
	return submit(s, "upload", reqs, func(r []abi.Upload) (int, error) { return s.Session.Upload(r) })
}

// Reuse implements [abi.Files].
func (s *session) Reuse(reqs []abi.Reuse) (int, error) {
	return submit(s, "reuse", reqs, func(r []abi.Reuse) (int, error) { return s.Session.Reuse(r) })
}

// Fetch implements [abi.Files].
func (s *session) Fetch(reqs []abi.Fetch) (int, error) {
	return submit(s, "fetch", reqs, func(r []abi.Fetch) (int, error) { return s.Session.Fetch(r) })
}

// Wait implements [abi.Files].
func (s *session) Wait(dst []abi.Completion) (int, error) {
	return list(s, "wait", nil, dst, func() (int, error) { return s.Session.Wait(dst) })
}

// FamiliesRead implements [abi.Records].
func (s *session) FamiliesRead(start int, dst []abi.Family) (int, error) {
	return list(s, "families_read", []int64{int64(start)}, dst, func() (int, error) { return s.Session.FamiliesRead(start, dst) })
}

// FamilyName implements [abi.Records].
func (s *session) FamilyName(id uint32) (string, error) {
	return s.name("family_name", id, func() (string, error) { return s.Session.FamilyName(id) })
}

// Export implements [abi.Records].
func (s *session) Export(reqs []abi.Export) (int, error) {
	return submit(s, "export", reqs, func(r []abi.Export) (int, error) { return s.Session.Export(r) })
}
