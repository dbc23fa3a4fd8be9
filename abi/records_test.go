package abi_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// kind is one type of record.
type kind struct {
	name string
	size int
	make func() (record reflect.Value, memory []byte)
}

func kindOf[R abi.Record]() kind {
	return kind{
		name: reflect.TypeFor[R]().Name(),
		size: abi.Size[R](),
		make: func() (reflect.Value, []byte) {
			records := make([]R, 1)
			return reflect.ValueOf(&records[0]).Elem(), abi.Bytes(records)
		},
	}
}

var kinds = []kind{
	kindOf[abi.Info](), kindOf[abi.File](), kindOf[abi.Upload](), kindOf[abi.Reuse](), kindOf[abi.Fetch](),
	kindOf[abi.Completion](), kindOf[abi.Base](), kindOf[abi.Family](), kindOf[abi.Export](), kindOf[abi.StreamSpec](),
}

// fields lists the numbers of a record.
func fields(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for i := range t.NumField() {
		if f := t.Field(i); f.Type.Size() > 0 {
			list = append(list, f)
		}
	}
	return list
}

func TestRecordsAreAlignedWithoutPadding(t *testing.T) {
	sizes := map[string]int{
		"Info": 40, "File": 64, "Upload": 16, "Reuse": 16, "Fetch": 16,
		"Completion": 32, "Base": 48, "Family": 24, "Export": 32, "StreamSpec": 24,
	}
	for _, k := range kinds {
		record, memory := k.make()
		end := uintptr(0)
		for _, f := range fields(record.Type()) {
			assert.Equal(t, end, f.Offset, "%s.%s follows the field before it", k.name, f.Name)
			assert.Zero(t, f.Offset%f.Type.Size(), "%s.%s is aligned", k.name, f.Name)
			end = f.Offset + f.Type.Size()
		}
		assert.Equal(t, uintptr(k.size), end, "%s ends with its last field", k.name)
		assert.Zero(t, k.size%8, "%s keeps its successor aligned", k.name)
		assert.Len(t, memory, k.size)
		assert.Equal(t, sizes[k.name], k.size, k.name)
	}
}

func TestRecordsHoldNumbersOnly(t *testing.T) {
	for _, k := range kinds {
		record, _ := k.make()
		for _, f := range fields(record.Type()) {
			switch f.Type.Kind() {
			case reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int32, reflect.Int64:
			default:
				t.Errorf("%s.%s is a %s", k.name, f.Name, f.Type.Kind())
			}
			assert.Equal(t, f.IsExported(), f.Tag.Get("wire") != "", "%s.%s: documented unless reserved", k.name, f.Name)
		}
	}
}

func TestBytesOfSeveralRecords(t *testing.T) {
	uploads := []abi.Upload{{File: 1, User: 2}, {File: 3, Scope: abi.ScopeShared, User: 4}}
	memory := abi.Bytes(uploads)
	assert.Equal(t, "0100000000000000"+"0200000000000000"+"0300000001000000"+"0400000000000000", hex.EncodeToString(memory))

	memory[16] = 9
	assert.EqualValues(t, 9, uploads[1].File, "the bytes are the records' own memory")
	assert.Nil(t, abi.Bytes([]abi.Upload{}))
}

// vector is a record as bytes and as values.
type vector struct {
	title  string
	bytes  []byte
	fields []namedValue
}

type namedValue struct{ name, value string }

// readVectors parses a file of testdata/wire; its own first lines say how.
func readVectors(t testing.TB, record string) []vector {
	t.Helper()
	var vectors []vector
	title := ""
	for _, line := range readLines(t, wireFile(record)) {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "":
		case "#":
			title = rest
		case "hex":
			bytes, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
			require.NoError(t, err, line)
			vectors = append(vectors, vector{title: title, bytes: bytes})
		default:
			v := &vectors[len(vectors)-1]
			v.fields = append(v.fields, namedValue{word, rest})
		}
	}
	return vectors
}

func wireFile(record string) string {
	return filepath.Join("testdata", "wire", snake(record)+".txt")
}

func readLines(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.Split(string(text), "\n")
}

func TestVectors(t *testing.T) {
	for _, k := range kinds {
		vectors := readVectors(t, k.name)
		assert.GreaterOrEqual(t, len(vectors), 5, k.name)
		for _, v := range vectors {
			t.Run(k.name+"/"+v.title, func(t *testing.T) {
				read, memory := k.make()
				require.Equal(t, len(memory), copy(memory, v.bytes))
				assert.Equal(t, v.fields, values(read), "bytes to values")

				written, memory := k.make()
				set(t, written, v.fields)
				assert.Equal(t, hex.EncodeToString(v.bytes), hex.EncodeToString(memory), "values to bytes")
			})
		}
	}
}

func TestEveryVectorFileIsOfARecord(t *testing.T) {
	var want []string
	for _, k := range kinds {
		want = append(want, wireFile(k.name))
	}
	found, err := filepath.Glob(filepath.Join("testdata", "wire", "*"))
	require.NoError(t, err)
	assert.ElementsMatch(t, want, found)
}

// values lists the fields of a record as a vector has them.
func values(record reflect.Value) []namedValue {
	var list []namedValue
	for _, f := range fields(record.Type()) {
		v := record.FieldByIndex(f.Index)
		text := ""
		if v.CanInt() {
			text = strconv.FormatInt(v.Int(), 10)
		} else {
			text = strconv.FormatUint(v.Uint(), 10)
		}
		list = append(list, namedValue{snake(f.Name), text})
	}
	return list
}

// set fills in a record. Reserved fields stay as they are, which is 0.
func set(t *testing.T, record reflect.Value, list []namedValue) {
	for i, f := range fields(record.Type()) {
		v, text := record.FieldByIndex(f.Index), list[i].value
		require.Equal(t, snake(f.Name), list[i].name)
		switch {
		case !f.IsExported():
			require.Equal(t, "0", text)
		case v.CanInt():
			n, err := strconv.ParseInt(text, 10, f.Type.Bits())
			require.NoError(t, err)
			v.SetInt(n)
		default:
			n, err := strconv.ParseUint(text, 10, f.Type.Bits())
			require.NoError(t, err)
			v.SetUint(n)
		}
	}
}

// FuzzRecords asserts that the memory of a record is its fields, one after the
// other, little-endian: for every content, in both directions.
func FuzzRecords(f *testing.F) {
	for i, k := range kinds {
		for _, v := range readVectors(f, k.name) {
			f.Add(uint8(i), v.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		k := kinds[int(which)%len(kinds)]
		record, memory := k.make()
		copy(memory, content)
		assert.Equal(t, memory, littleEndian(record))
	})
}

func littleEndian(record reflect.Value) []byte {
	var out []byte
	for _, f := range fields(record.Type()) {
		v := record.FieldByIndex(f.Index)
		bits := uint64(0)
		if v.CanInt() {
			bits = uint64(v.Int())
		} else {
			bits = v.Uint()
		}
		out = append(out, binary.LittleEndian.AppendUint64(nil, bits)[:f.Type.Size()]...)
	}
	return out
}

func TestNamesOfKindsAndScopes(t *testing.T) {
	for k := abi.KindTable; k <= abi.KindStream; k++ {
		text, err := k.MarshalText()
		require.NoError(t, err)
		var back abi.Kind
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, k, back)
	}
	for _, s := range []abi.Scope{abi.ScopePrivate, abi.ScopeShared} {
		text, err := s.MarshalText()
		require.NoError(t, err)
		var back abi.Scope
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, s, back)
	}
	assert.Error(t, new(abi.Kind).UnmarshalText(nil), "the empty name is no kind")
	assert.Error(t, new(abi.Kind).UnmarshalText([]byte("unknown")))
	assert.Error(t, new(abi.Scope).UnmarshalText([]byte("public")))
}
