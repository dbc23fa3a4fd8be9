package strategy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// MetadataSection is the custom section in which a module describes itself.
const MetadataSection = "rocksnap.plugin"

// Info is what a module tells about itself without being run.
type Info struct {
	SHA256       string          `json:"sha256"` // of the whole file, hex
	Size         int             `json:"size"`   // bytes
	ABI          string          `json:"abi"`    // the import module it is linked against, as in "rocksnap_v1"; "" for none
	Name         string          `json:"name"`   // of the metadata; "" without any
	Version      string          `json:"version"`
	License      string          `json:"license,omitempty"`
	Source       string          `json:"source,omitempty"`
	Imports      []string        `json:"imports"` // module.name, in the module's order
	Exports      []string        `json:"exports"`
	Capabilities []abi.Grant     `json:"capabilities"`  // grants that the imports need
	MemoryPages  uint32          `json:"memory_pages"`  // initial memory, in pages of 64 KiB
	ConfigSchema json.RawMessage `json:"config_schema"` // null without any
}

// metadata is the JSON document in the [MetadataSection].
type metadata struct {
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	License      string          `json:"license"`
	Source       string          `json:"source"`
	ConfigSchema json.RawMessage `json:"config_schema"`
}

// Inspect describes a module. It runs no code, and accepts modules that [Load]
// would refuse; it fails on a file that is no WebAssembly module and on metadata
// that is not JSON.
func Inspect(wasm []byte) (Info, error) {
	m, err := parse(wasm)
	if err != nil {
		return Info{}, fmt.Errorf("inspect module: %w", err)
	}
	info := Info{SHA256: digest(wasm), Size: len(wasm), Imports: []string{}, Exports: []string{}}
	info.describe(m)
	if err := info.readMetadata(m); err != nil {
		return Info{}, fmt.Errorf("inspect module: %w", err)
	}
	return info, nil
}

func (info *Info) describe(m *binaryModule) {
	needs := make(map[abi.Grant]bool)
	for _, i := range m.imports {
		info.Imports = append(info.Imports, i.module+"."+i.name)
		if strings.HasPrefix(i.module, "rocksnap_") {
			info.ABI = i.module
		}
		if f, ok := lookup(i.name); ok && i.module == abi.ImportModule && f.Grant != "" {
			needs[f.Grant] = true
		}
	}
	for _, e := range m.exports {
		info.Exports = append(info.Exports, e.name)
	}
	info.Capabilities = slices.DeleteFunc(slices.Clone(abi.Grants), func(g abi.Grant) bool { return !needs[g] })
	if len(m.memories) > 0 {
		info.MemoryPages = m.memories[0]
	}
}

func (info *Info) readMetadata(m *binaryModule) error {
	for _, s := range m.sections {
		if !s.isCustom || s.custom != MetadataSection {
			continue
		}
		var meta metadata
		if err := json.Unmarshal(s.content, &meta); err != nil {
			return fmt.Errorf("read section %s: %w", MetadataSection, err)
		}
		info.Name, info.Version = meta.Name, meta.Version
		info.License, info.Source = meta.License, meta.Source
		info.ConfigSchema = meta.ConfigSchema
	}
	return nil
}

// Annotate returns a copy of a module that carries metadata, a JSON object, in
// its [MetadataSection], in place of any that it had. The result depends on
// nothing but the arguments.
func Annotate(wasm []byte, metadata json.RawMessage) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, fmt.Errorf("annotate module: %w", err)
	}
	var text bytes.Buffer
	if err := json.Compact(&text, metadata); err != nil {
		return nil, fmt.Errorf("annotate module: read metadata: %w", err)
	}
	if !bytes.HasPrefix(text.Bytes(), []byte("{")) {
		return nil, errors.New("annotate module: metadata is not a JSON object")
	}
	out := []byte(magic)
	for _, s := range m.sections {
		if !s.isCustom || s.custom != MetadataSection {
			out = append(out, wasm[s.start:s.end]...)
		}
	}
	body := binary.AppendUvarint(nil, uint64(len(MetadataSection)))
	body = append(append(body, MetadataSection...), text.Bytes()...)
	out = append(out, sectionCustom)
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...), nil
}

func digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// lookup finds a function of the ABI by name.
func lookup(name string) (*abi.Func, bool) {
	i := slices.IndexFunc(abi.Imports, func(f abi.Func) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return &abi.Imports[i], true
}
