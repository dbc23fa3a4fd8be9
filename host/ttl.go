package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// rulesOf returns the TTLs of a configuration.
func rulesOf(cfg *config.Config) expiry.Rules {
	rules := make(expiry.Rules, len(cfg.Families))
	for name, f := range cfg.Families {
		rules[name] = expiry.Rule{Format: expiry.Format(f.TTL.Format), Seconds: uint64(f.TTL.Seconds)}
	}
	return rules
}

// ttls is what somebody knows of the TTLs of a database, by column family: nil
// for one that has none. Of what is not in it nothing is known.
type ttls map[string]*catalog.TTL

func ttlsOf(families []catalog.Family) ttls {
	known := make(ttls, len(families))
	for _, f := range families {
		known[f.Name] = f.TTL
	}
	return known
}

// rules returns what is known as rules.
func (t ttls) rules() expiry.Rules {
	rules := make(expiry.Rules)
	for name, ttl := range t {
		if ttl != nil {
			rules[name] = expiry.Rule{Format: expiry.Format(ttl.Format), Seconds: ttl.Seconds}
		}
	}
	return rules
}

// declareTTL writes the TTLs of the configuration into a manifest.
func (r *Repository) declareTTL(families []catalog.Family) {
	for i := range families {
		if rule, expires := r.rules[families[i].Name]; expires {
			families[i].TTL = &catalog.TTL{Format: string(rule.Format), Seconds: rule.Seconds}
		}
	}
}

// agree fails unless the rules of the configuration have the formats that source
// knows. Only the seconds may change: by another format, or none, times would be
// taken for content, and content for times.
func (t ttls) agree(rules expiry.Rules, source string) error {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		ttl := t[name]
		rule, expires := rules[name]
		switch {
		case ttl == nil && expires:
			return problem(CodeUsage, fmt.Errorf("column family %q has a ttl of format %s in the configuration, but none by %s", name, rule.Format, source),
				"take it out, since values without a time would be misread; if all of them have always had one, give the database another [repository] name")
		case ttl != nil && !expires:
			return problem(CodeUsage, fmt.Errorf("column family %q has no ttl in the configuration, but one of format %s by %s", name, ttl.Format, source),
				fmt.Sprintf("add ttl = { format = %q, seconds = %d } under [column_families.%q]", ttl.Format, ttl.Seconds, name))
		case ttl != nil && string(rule.Format) != ttl.Format:
			return problem(CodeUsage, fmt.Errorf("column family %q has a ttl of format %s in the configuration, but one of format %s by %s", name, rule.Format, ttl.Format, source),
				"correct the format; only seconds may change")
		}
	}
	return nil
}

// checkTTL compares the configuration with what the database itself says, before
// anything is opened that might drop records. It says nothing where there is no
// database.
func checkTTL(path string, rules expiry.Rules) error {
	text, err := rocks.OptionsText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	for name := range rules {
		if text != "" && !strings.Contains(text, familySection(name)) {
			return problem(CodeUsage, fmt.Errorf("the configuration has a ttl for column family %q, which the database does not have", name),
				"correct the name in [column_families]")
		}
	}
	if err := storedTTLs(text, rules).agree(rules, "RocksDB's OPTIONS"); err != nil {
		return err
	}
	restored, err := notedTTLs(path)
	if err != nil {
		return err
	}
	return restored.agree(rules, "the note of its restore")
}

// storedTTLs returns what the text of an OPTIONS file tells: RocksDB's TTL leaves
// a compaction filter in it. Whether a column family has another format it cannot
// tell.
func storedTTLs(options string, rules expiry.Rules) ttls {
	known := make(ttls)
	for line := range strings.Lines(options) {
		quoted, ok := strings.CutPrefix(strings.TrimSpace(line), "[CFOptions ")
		if !ok {
			continue
		}
		name, err := strconv.Unquote(strings.TrimSuffix(quoted, "]"))
		if err != nil {
			continue
		}
		if ttl := storedTTL(options, name); ttl != nil || rules[name].Format == expiry.RocksDB {
			known[name] = ttl
		}
	}
	return known
}

// storedTTL returns the TTL that RocksDB itself applies to a column family.
func storedTTL(options, family string) *catalog.TTL {
	text := familyOption(options, family, "compaction_filter_factory") + familyOption(options, family, "compaction_filter")
	if !strings.Contains(text, "TtlCompactionFilter") && !strings.Contains(text, "Delete By TTL") {
		return nil
	}
	ttl := &catalog.TTL{Format: string(expiry.RocksDB)}
	if _, seconds, ok := strings.Cut(text, "ttl="); ok {
		seconds, _, _ = strings.Cut(seconds, ";")
		ttl.Seconds, _ = strconv.ParseUint(seconds, 10, 31) // RocksDB takes 0 and less for no end
	}
	return ttl
}

// notedTTLs returns what the restore that made the database has noted, if one did.
func notedTTLs(path string) (ttls, error) {
	n, err := readNote(filepath.Join(path, noteFile))
	if err != nil || n == nil {
		return nil, err
	}
	identity, err := os.ReadFile(filepath.Join(path, "IDENTITY"))
	if err != nil || strings.TrimSpace(string(identity)) != n.Identity {
		return nil, nil // of a database that was here before
	}
	return n.TTL, nil
}

// declaredTTLs returns the TTLs that a database declares by itself. The note knows
// more than OPTIONS.
func declaredTTLs(path string) (ttls, error) {
	text, err := rocks.OptionsText(path)
	if err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	known := storedTTLs(text, nil)
	noted, err := notedTTLs(path)
	for name, ttl := range noted {
		if ttl != nil {
			known[name] = ttl
		}
	}
	return known, err
}

// checkHistory compares the configuration with the newest snapshot of the
// database's history that holds anything. One that cannot be read, for damage or
// for want of a key, has no say.
func (s *session) checkHistory() error {
	newest, err := s.newestSound(func() uint64 { return s.history.newestFilled(s.lineage.id) })
	if err != nil || newest == nil {
		return err
	}
	if s.host.keys.reveal(newest) != nil {
		return nil
	}
	return ttlsOf(newest.Families).agree(s.host.rules, "its newest snapshot, "+newest.ID)
}

// newestFilled returns the slot of the newest snapshot of a lineage that is not
// empty, or 0.
func (h history) newestFilled(lineage string) uint64 {
	for _, s := range slices.Backward(h.snapshots) {
		if s.Lineage == lineage && s.Kind != catalog.KindEmpty {
			return s.Slot
		}
	}
	return 0
}

// checkTTL refuses a configuration whose TTLs are not those of the database. With
// none in the configuration nothing can be dropped, and the history is asked when
// a snapshot is taken.
func (r *Repository) checkTTL(ctx context.Context, path string) error {
	if err := checkTTL(path, r.rules); err != nil || len(r.rules) == 0 {
		return err
	}
	identity, err := os.ReadFile(filepath.Join(path, "IDENTITY"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no database, or one without a history
	}
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	s := &session{host: &Host{Repository: r}, ctx: ctx, manifests: make(map[uint64]*catalog.Manifest)}
	if s.lineage, err = readLineage(path, strings.TrimSpace(string(identity))); err != nil {
		return err
	}
	if s.history, err = r.history(ctx); err != nil {
		return err
	}
	return s.checkHistory()
}

// hide has a view pass over what has expired by now.
func (r *Repository) hide(v *rocks.View) { v.Hide(r.rules, r.clock()) }

// expiry is what compactions of the host's own database go by.
func (r *Repository) expiry() rocks.Expiry { return rocks.Expiry{Rules: r.rules, Clock: r.clock} }

// WithClock replaces the clock by which records with a TTL expire. The times in
// manifests stay those of the machine.
func WithClock(now func() time.Time) Option { return func(s *settings) { s.clock = now } }
