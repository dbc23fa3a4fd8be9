package config

import "github.com/BurntSushi/toml"

// Family is what the file says about a column family.
type Family struct {
	TTL *TTL // nil when its records do not expire
}

// TTL says when the records of a column family expire. The application has put
// the time into each value; nothing here changes it.
type TTL struct {
	Format  TTLFormat // where a value has its time
	Seconds uint32    // from that time on until it expires, 1 to 2147483647
}

// TTLFormat is where a value has its time.
type TTLFormat string

// The formats.
const (
	TTLRocksDB  TTLFormat = "rocksdb"   // RocksDB's own: seconds since 1970, 4 bytes, little-endian, behind the value
	TTLMSPrefix TTLFormat = "ms-prefix" // milliseconds since 1970, 8 bytes, big-endian, before the value
)

// UnmarshalText accepts the name of a format.
func (f *TTLFormat) UnmarshalText(text []byte) error {
	return choose(f, text, TTLRocksDB, TTLMSPrefix)
}

// String returns the format as it stands in the file.
func (f TTLFormat) String() string { return string(f) }

// maxTTL is what RocksDB can hold, 68 years.
const maxTTL = 1<<31 - 1

// familyTables is the key under which each column family has its table.
const familyTables = "column_families"

func familyKey(name string, tail ...string) toml.Key {
	return append(toml.Key{familyTables, name}, tail...)
}

// familyFields lists the fields of the column families that have a TTL.
func (c *Config) familyFields() []field {
	var fields []field
	for _, name := range sortedKeys(c.Families) {
		if ttl := c.Families[name].TTL; ttl != nil {
			fields = append(fields,
				field{familyKey(name, "ttl", "format"), &ttl.Format},
				field{familyKey(name, "ttl", "seconds"), &ttl.Seconds})
		}
	}
	return fields
}

// prepareFamilies gives every column family of the file its fields.
func (l *loader) prepareFamilies(tree map[string]any) {
	named, _ := tree[familyTables].(map[string]any)
	if len(named) > 0 {
		l.config.Families = make(map[string]Family)
	}
	for name := range named {
		l.config.Families[name] = Family{TTL: new(TTL)}
	}
}

// completeFamilies forgets the column families that were given nothing.
func (l *loader) completeFamilies() {
	for name := range l.config.Families {
		_, named := l.places[familyKey(name, "ttl").String()]
		if !named && !l.given(familyKey(name, "ttl", "format")) && !l.given(familyKey(name, "ttl", "seconds")) {
			delete(l.config.Families, name)
		}
	}
}

func (l *loader) checkFamilies() {
	for name, family := range l.config.Families {
		format, seconds := familyKey(name, "ttl", "format"), familyKey(name, "ttl", "seconds")
		if !l.given(format) {
			l.wrong(format, `add format = "rocksdb" or format = "ms-prefix"`, "missing")
		}
		if !l.given(seconds) {
			l.wrong(seconds, "add seconds = 3600", "missing")
			continue
		}
		between(l, seconds, family.TTL.Seconds, 1, maxTTL)
	}
}
