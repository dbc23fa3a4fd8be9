package config

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Grants lists what a strategy may be allowed. It repeats abi.Grants, so that
// this package depends on nothing; a test of the host keeps the two equal.
func Grants() []string {
	return []string{"checkpoint", "upload", "reuse", "state", "meta", "export", "scan", "stream", "restore"}
}

// Builtin lists the strategies that need no table.
func Builtin() []string { return sortedKeys(builtin) }

// builtin holds the grants of each built-in strategy.
var builtin = map[string][]string{
	"native-full": {"checkpoint", "upload"},
	"incremental": {"checkpoint", "upload", "reuse", "state"},
	"canonical":   {"export"},
}

func defaults(path string) *Config {
	return &Config{
		Path:       path,
		Database:   Database{Mode: Own},
		Repository: Repository{Transfer: Transfer{Workers: 4}, Pack: defaultPack()},
		Snapshot:   Snapshot{Flush: FlushAuto},
		Plugins:    Plugins{Memory: 1 << 30},
		Retention:  Retention{Grace: Duration(time.Hour)},
		KeyGroups:  &KeyGroups{},
		Group:      defaultGroup(),
	}
}

func defaultStrategy(name string) *Strategy {
	s := &Strategy{
		Isolation: IsolationRuntime,
		OnError:   OnError{Mode: Fail},
		Limits:    defaultLimits(),
		Config:    json.RawMessage("{}"),
	}
	if grants, ok := builtin[name]; ok {
		s.Module, s.Allow = name+".wasm", slices.Clone(grants)
	}
	return s
}

// complete settles the defaults that depend on other values, and the paths.
func (l *loader) complete() {
	c := l.config
	for _, path := range []*string{&c.Database.Path, &c.Repository.CAFile, &c.Repository.Encryption.IdentityFile} {
		if *path != "" {
			*path = c.resolve(*path)
		}
	}
	if dir := c.Repository.Dir(); dir != "" {
		c.Repository.URL = fileScheme + c.resolve(dir)
	}
	if bucket, prefix, ok := c.Repository.S3(); ok {
		c.Repository.URL = strings.TrimSuffix(s3Scheme+bucket+"/"+prefix, "/")
		c.Repository.Endpoint = strings.TrimRight(c.Repository.Endpoint, "/")
	}
	l.completeTransfer()
	l.completePack()
	if !l.given(dotted("repository.name")) && c.Database.Path != "" {
		c.Repository.Name = filepath.Base(c.Database.Path)
	}
	l.completeKeyGroups()
	l.completeFamilies()
	l.completeGroup()
	c.Strategies = make(map[string]Strategy, len(l.strategies))
	for name, s := range l.strategies {
		l.completeStrategy(name, s)
		c.Strategies[name] = *s
	}
}

func (c *Config) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Dir(), path)
}

func (l *loader) completeKeyGroups() {
	groups := l.config.KeyGroups
	count, ranged := l.given(dotted("keygroups.count")), l.given(dotted("keygroups.range"))
	if !count && !ranged {
		l.config.KeyGroups = nil
		return
	}
	if !ranged && groups.Count > 0 {
		groups.Range = KeyRange{0, groups.Count - 1}
	}
}

// completeStrategy takes the grants of a built-in strategy away from a module
// that merely bears its name.
func (l *loader) completeStrategy(name string, s *Strategy) {
	s.SHA256 = strings.ToLower(s.SHA256)
	l.completeOnError(name, &s.OnError)
	_, ok := builtin[name]
	if ok && s.Module != name+".wasm" && !l.given(strategyKey(name, "allow")) {
		s.Allow = nil
	}
}
