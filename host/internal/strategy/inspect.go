package strategy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/schema"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

// MetadataSection is the custom section in which a module describes itself.
const MetadataSection = "rocksnap.plugin"

// Info is what a module tells about itself without being run. Names are safe to
// print; long ones are cut.
type Info struct {
	SHA256       string          `json:"sha256"` // of the whole file, hex
	Size         int             `json:"size"`   // bytes
	ABI          string          `json:"abi"`    // the import module it is linked against, as in "rocksnap_v1"; "" for none
	Name         string          `json:"name"`   // of the metadata; "" without any
	Version      string          `json:"version"`
	License      string          `json:"license,omitempty"`
	Source       string          `json:"source,omitempty"`
	Imports      []string        `json:"imports"` // module.Name, in the module's order
	Exports      []string        `json:"exports"`
	Capabilities []abi.Grant     `json:"capabilities"`  // grants that the imports need
	MemoryPages  uint32          `json:"memory_pages"`  // initial memory, in pages of 64 KiB
	Tables       int             `json:"tables"`        // that the module defines
	Functions    int             `json:"functions"`     // that the module defines
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
func Inspect(file []byte) (Info, error) {
	m, err := wasm.Parse(file)
	if err != nil {
		return Info{}, fmt.Errorf("inspect module: %w", err)
	}
	info := Info{SHA256: digest(file), Size: len(file), Imports: []string{}, Exports: []string{}}
	info.describe(m)
	if err := info.readMetadata(m); err != nil {
		return Info{}, fmt.Errorf("inspect module: %w", err)
	}
	return info, nil
}

func (info *Info) describe(m *wasm.Module) {
	needs := make(map[abi.Grant]bool)
	for _, i := range m.Imports {
		info.Imports = append(info.Imports, shown(i.Module)+"."+shown(i.Name))
		if strings.HasPrefix(i.Module, "rocksnap_") {
			info.ABI = shown(i.Module)
		}
		if f, ok := lookup(i.Name); ok && i.Module == abi.ImportModule && f.Grant != "" {
			needs[f.Grant] = true
		}
	}
	for _, e := range m.Exports {
		info.Exports = append(info.Exports, shown(e.Name))
	}
	info.Tables, info.Functions = len(m.Tables), len(m.Functions)
	info.Capabilities = slices.DeleteFunc(slices.Clone(abi.Grants), func(g abi.Grant) bool { return !needs[g] })
	if len(m.Memories) > 0 {
		info.MemoryPages = m.Memories[0]
	}
}

func (info *Info) readMetadata(m *wasm.Module) error {
	content := m.Custom(MetadataSection)
	if content == nil {
		return nil
	}
	var meta metadata
	if err := json.Unmarshal(content, &meta); err != nil {
		return fmt.Errorf("read section %s: %w", MetadataSection, err)
	}
	info.Name, info.Version = shown(meta.Name), shown(meta.Version)
	info.License, info.Source = shown(meta.License), shown(meta.Source)
	info.ConfigSchema = meta.ConfigSchema
	return nil
}

// Annotate returns a copy of a module that carries metadata, a JSON object, in
// its [MetadataSection], in place of any that it had. The result depends on
// nothing but the arguments.
func Annotate(file []byte, metadata json.RawMessage) ([]byte, error) {
	m, err := wasm.Parse(file)
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
	if err := checkMetadata(text.Bytes()); err != nil {
		return nil, fmt.Errorf("annotate module: metadata: %w", err)
	}
	return wasm.Annotate(file, m, MetadataSection, text.Bytes()), nil
}

// checkMetadata tells an author of a key that nobody will read and of a schema that
// nothing keeps to. Modules that have one are accepted all the same: a later version
// may know it.
func checkMetadata(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var meta metadata
	if err := decoder.Decode(&meta); err != nil {
		return err
	}
	if err := schema.Check(meta.ConfigSchema); err != nil {
		return fmt.Errorf("config_schema: %w", err)
	}
	return nil
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
