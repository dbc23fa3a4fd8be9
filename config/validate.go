package config

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/BurntSushi/toml"
)

// required lists the keys without which nothing works, with a line to copy.
var required = []struct{ key, example string }{
	{"version", `version = 1`},
	{"database.path", `path = "data/db"`},
	{"repository.url", `url = "file:repo"`},
	{"snapshot.strategy", `strategy = "incremental"`},
}

// unsupported lists what the format has and this version of the program has
// not: it is refused, because to ignore it would be to promise it.
var unsupported = []struct {
	key  string
	used func(*Config) bool
}{
	{"database.mode", func(c *Config) bool { return c.Database.Mode == Follow }},
}

// check reports everything that is missing, unsupported or impossible.
func (l *loader) check() {
	for _, r := range required {
		if key := dotted(r.key); !l.given(key) {
			l.wrong(key, missingHint(key, r.example), "missing")
		}
	}
	for _, u := range unsupported {
		if u.used(l.config) {
			l.wrong(dotted(u.key), "", "not supported by this version")
		}
	}
	if l.config.Version != Version {
		l.wrong(dotted("version"), "", "must be %d, not %d", Version, l.config.Version)
	}
	if l.config.Database.Path == "" {
		l.wrong(dotted("database.path"), "", "must not be empty")
	}
	if shard := l.config.Database.Shard; shard < 0 || shard > MaxShard {
		l.wrong(dotted("database.shard"), "", "must be 1 to %d, or 0 for none, not %d", MaxShard, shard)
	}
	l.checkRepository()
	l.checkTransfer()
	l.checkPack()
	l.checkEncryption()
	l.checkFolders()
	l.checkFlush()
	l.checkLocal()
	l.checkRetention()
	l.checkKeyGroups()
	l.checkFamilies()
	l.checkGroup()
	l.checkPlugins()
	for _, name := range sortedKeys(l.strategies) {
		l.checkStrategy(name, l.strategies[name])
	}
	if message, hint := l.config.noStrategy(l.config.Snapshot.Strategy); message != "" {
		l.wrong(dotted("snapshot.strategy"), hint, "%s", message)
	}
}

func missingHint(key toml.Key, example string) string {
	if len(key) == 1 {
		return "add " + example
	}
	return fmt.Sprintf("add %s under [%s]", example, key[:len(key)-1])
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

const nameRule = `must be 1 to 64 of a-z, 0-9, ".", "_" and "-", starting with a letter or digit`

// checkFlush refuses what a database that is opened for reading cannot do.
func (l *loader) checkFlush() {
	if l.config.Database.Mode == ReadOnly && l.config.Snapshot.Flush == FlushAlways {
		l.wrong(dotted("snapshot.flush"), `use flush = "auto", or mode = "own" under [database]`,
			"must not be always: a database in mode read-only cannot be flushed")
	}
}

const maxKeyGroups = 32768

func (l *loader) checkKeyGroups() {
	groups := l.config.KeyGroups
	if groups == nil {
		return
	}
	count := dotted("keygroups.count")
	if !l.given(count) {
		l.wrong(count, missingHint(count, "count = 128"), "missing")
	}
	if groups.Count < 1 || groups.Count > maxKeyGroups {
		l.wrong(count, "", "must be 1 to %d, not %d", maxKeyGroups, groups.Count)
	}
	if !l.bad[count.String()] && groups.Range.Last >= groups.Count {
		l.wrong(dotted("keygroups.range"), "", "must lie within 0-%d, not %s", groups.Count-1, groups.Range)
	}
}

var validSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (l *loader) checkStrategy(name string, s *Strategy) {
	key := func(tail ...string) toml.Key { return strategyKey(name, tail...) }
	if !validName.MatchString(name) {
		l.wrong(key(), "", "a name %s", nameRule)
	}
	if module := key("module"); !l.given(module) && s.Module == "" {
		l.wrong(module, fmt.Sprintf("add module = %q", name+".wasm"), "missing")
	} else if s.Module == "" {
		l.wrong(module, "", "must not be empty")
	}
	if sum := key("sha256"); l.given(sum) && !validSHA256.MatchString(s.SHA256) {
		l.wrong(sum, "", "must be 64 hexadecimal digits, not %q", s.SHA256)
	}
	for _, grant := range s.Allow {
		if !slices.Contains(Grants(), grant) {
			l.wrong(key("allow"), didYouMean(nearest(grant, Grants())), "must be of %s, not %q", either(Grants()), grant)
		}
	}
	l.checkKeys(key("keys"), s.Keys)
	l.checkOnError(name, s.OnError)
	l.checkLimits(name, s.Limits)
}

// noStrategy says that a name is no strategy's, or nothing.
func (c *Config) noStrategy(name string) (message, hint string) {
	if _, ok := c.Strategies[name]; ok {
		return "", ""
	}
	message = fmt.Sprintf("there is no strategy named %q", name)
	if hint = didYouMean(nearest(name, sortedKeys(c.Strategies))); hint == "" {
		hint = fmt.Sprintf("use %s, or add a [%s] table", either(Builtin()), toml.Key{"strategies", name})
	}
	return message, hint
}
