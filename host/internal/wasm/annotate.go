package wasm

import "encoding/binary"

// Annotate returns a copy of a module with one custom section of the given name
// at its end, in place of any that it had. The module must be one that [Parse]
// read. The result depends on nothing but the arguments.
func Annotate(wasm []byte, m *Module, name string, content []byte) []byte {
	out := []byte(magic)
	for _, s := range m.Sections {
		if s.ID != sectionCustom || s.Custom != name {
			out = append(out, wasm[s.Start:s.End]...)
		}
	}
	body := binary.AppendUvarint(nil, uint64(len(name)))
	body = append(append(body, name...), content...)
	out = append(out, sectionCustom)
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...)
}

// Custom returns the content of the module's last custom section of a name; nil
// for none.
func (m *Module) Custom(name string) (content []byte) {
	for _, s := range m.Sections {
		if s.ID == sectionCustom && s.Custom == name {
			content = s.Content
		}
	}
	return content
}
