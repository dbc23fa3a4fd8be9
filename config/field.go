package config

import (
	"encoding"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// field is a key of the file and the place in a [Config] for its value. The
// fields are the whole schema: reading, overriding, suggesting and showing all
// go by them.
type field struct {
	key    toml.Key
	target any // pointer
}

func dotted(key string) toml.Key { return strings.Split(key, ".") }

func (c *Config) fields() []field {
	fields := []field{
		{dotted("version"), &c.Version},
		{dotted("database.path"), &c.Database.Path},
		{dotted("database.mode"), &c.Database.Mode},
		{dotted("database.shard"), &c.Database.Shard},
		{dotted("repository.url"), &c.Repository.URL},
		{dotted("repository.name"), &c.Repository.Name},
		{dotted("repository.endpoint"), &c.Repository.Endpoint},
		{dotted("repository.region"), &c.Repository.Region},
		{dotted("repository.path_style"), &c.Repository.PathStyle},
		{dotted("repository.ca_file"), &c.Repository.CAFile},
		{dotted("repository.transfer.workers"), &c.Repository.Transfer.Workers},
		{dotted("repository.transfer.rate_limit"), &c.Repository.Transfer.RateLimit},
		{dotted("repository.transfer.upload_limit"), &c.Repository.Transfer.UploadLimit},
		{dotted("repository.transfer.download_limit"), &c.Repository.Transfer.DownloadLimit},
		{dotted("repository.transfer.requests"), &c.Repository.Transfer.Requests},
		{dotted("repository.transfer.memory"), &c.Repository.Transfer.Memory},
		{dotted("repository.encryption.recipients"), &c.Repository.Encryption.Recipients},
		{dotted("repository.encryption.identity_file"), &c.Repository.Encryption.IdentityFile},
		{dotted("snapshot.strategy"), &c.Snapshot.Strategy},
		{dotted("snapshot.flush"), &c.Snapshot.Flush},
		{dotted("snapshot.preupload"), &c.Snapshot.Preupload},
		{dotted("local.keep"), &c.Local.Keep},
		{dotted("plugins.memory"), &c.Plugins.Memory},
		{dotted("plugins.keys"), &c.Plugins.Keys},
		{dotted("plugins.require_signature"), &c.Plugins.RequireSignature},
		{dotted("retention.keep_last"), &c.Retention.KeepLast},
		{dotted("retention.keep_hourly"), &c.Retention.KeepHourly},
		{dotted("retention.keep_daily"), &c.Retention.KeepDaily},
		{dotted("retention.keep_weekly"), &c.Retention.KeepWeekly},
		{dotted("retention.keep_monthly"), &c.Retention.KeepMonthly},
		{dotted("retention.keep_yearly"), &c.Retention.KeepYearly},
		{dotted("retention.keep_within"), &c.Retention.KeepWithin},
		{dotted("retention.keep_label"), &c.Retention.KeepLabel},
		{dotted("retention.grace"), &c.Retention.Grace},
	}
	fields = append(fields, c.Repository.Pack.fields()...)
	if c.KeyGroups != nil {
		fields = append(fields,
			field{dotted("keygroups.count"), &c.KeyGroups.Count},
			field{dotted("keygroups.range"), &c.KeyGroups.Range})
	}
	return slices.Concat(fields, c.familyFields(), c.groupFields())
}

func (s *Strategy) fields(name string) []field {
	fields := []field{
		{strategyKey(name, "module"), &s.Module},
		{strategyKey(name, "sha256"), &s.SHA256},
		{strategyKey(name, "keys"), &s.Keys},
		{strategyKey(name, "allow_unpinned"), &s.AllowUnpinned},
		{strategyKey(name, "allow"), &s.Allow},
		{strategyKey(name, "isolation"), &s.Isolation},
	}
	fields = append(fields, s.OnError.fields(name)...)
	fields = append(fields, s.Limits.fields(name)...)
	return append(fields, field{strategyKey(name, "config"), &s.Config})
}

func strategyKey(name string, tail ...string) toml.Key {
	return append(toml.Key{"strategies", name}, tail...)
}

// title renders a key for people, with the table that it stands under.
func title(key toml.Key, isTable bool) string {
	section := section(key)
	switch {
	case len(key) > section:
		return "[" + key[:section].String() + "] " + key[section:].String()
	case isTable:
		return "[" + key.String() + "]"
	}
	return key.String()
}

// section returns how much of a key names the table that people would write it
// under.
func section(key toml.Key) int {
	if key[0] == "strategies" || key[0] == familyTables {
		return 2
	}
	return 1
}

// set stores a value, as the TOML library decodes it, in a field.
func set(target, value any) (err error) {
	switch t := target.(type) {
	case *string:
		*t, err = as[string](value)
	case *bool:
		*t, err = as[bool](value)
	case *int:
		var n int64
		n, err = whole(value, math.MaxInt32)
		*t = int(n)
	case *uint32:
		var n int64
		n, err = whole(value, math.MaxUint32)
		*t = uint32(n)
	case *float64:
		*t, err = number(value)
	case *Size:
		err = setSize(t, value)
	case *[]string:
		*t, err = stringsOf(value)
	case *json.RawMessage:
		*t, err = canonicalJSON(value)
	case encoding.TextUnmarshaler:
		err = setText(t, value)
	}
	return err
}

func as[T any](value any) (T, error) {
	t, ok := value.(T)
	if !ok {
		return t, refuse("must be %s, not %s", kindOf(t), kindOf(value))
	}
	return t, nil
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	}
	return "an array"
}

func whole(value any, limit int64) (int64, error) {
	n, err := as[int64](value)
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, refuse("must not be negative: %d", n)
	case n > limit:
		return 0, refuse("must be at most %d, not %d", limit, n)
	}
	return n, nil
}

func number(value any) (float64, error) {
	if n, ok := value.(int64); ok {
		return float64(n), nil
	}
	n, ok := value.(float64)
	if !ok {
		return 0, refuse("must be a number, not %s", kindOf(value))
	}
	return n, nil
}

// setText also tries an integer as text, so that the refusal of a forgotten
// unit shows a value with one.
func setText(t encoding.TextUnmarshaler, value any) error {
	if n, ok := value.(int64); ok {
		return t.UnmarshalText([]byte(strconv.FormatInt(n, 10)))
	}
	text, err := as[string](value)
	if err != nil {
		return err
	}
	return t.UnmarshalText([]byte(text))
}

func setSize(s *Size, value any) error {
	if text, ok := value.(string); ok {
		return s.UnmarshalText([]byte(text))
	}
	if _, ok := value.(int64); !ok {
		return refuse(`must be a size such as "64MiB", not %s`, kindOf(value))
	}
	n, err := whole(value, math.MaxInt64)
	*s = Size(n)
	return err
}

func stringsOf(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, refuse("must be an array of strings, not %s", kindOf(value))
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], ok = item.(string); !ok {
			return nil, refuse("must be an array of strings; item %d is %s", i+1, kindOf(item))
		}
	}
	return texts, nil
}

// canonicalJSON renders a strategy's own table. A date is refused because what
// the library makes of one without a zone depends on the machine, infinity
// because JSON has none.
func canonicalJSON(value any) (json.RawMessage, error) {
	table, err := as[map[string]any](value)
	if err != nil {
		return nil, err
	}
	if hasDate(table) {
		return nil, refuse("must not contain a date or time; write a string instead")
	}
	text, err := json.Marshal(table)
	if err != nil {
		return nil, refuse("must not contain inf or nan")
	}
	return text, nil
}

func hasDate(value any) bool {
	if _, ok := value.(time.Time); ok {
		return true
	}
	return slices.ContainsFunc(items(value), hasDate)
}

// items returns what a table or an array holds.
func items(value any) []any {
	switch v := value.(type) {
	case map[string]any:
		return slices.Collect(maps.Values(v))
	case []any:
		return v
	case []map[string]any: // how the library decodes an array of tables
		tables := make([]any, len(v))
		for i, table := range v {
			tables[i] = table
		}
		return tables
	}
	return nil
}
