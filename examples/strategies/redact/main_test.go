package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func subject(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name:    "redact",
		Open:    func() abi.Strategy { return &redact{} },
		Module:  strategytest.Build(t, "."),
		Allow:   []abi.Grant{abi.GrantExport, abi.GrantScan, abi.GrantStream, abi.GrantMeta},
		Config:  config,
		Records: true,
	}
}

// Without a prefix the strategy copies, and keeps every law of a copy.
func TestLaws(t *testing.T) { strategytest.Run(t, subject(t, "")) }

// eachForm runs a test natively and through the sandbox.
func eachForm(t *testing.T, config string, test func(t *testing.T, s strategytest.Subject)) {
	s := subject(t, config)
	t.Run("native", func(t *testing.T) { test(t, s.Native()) })
	t.Run("module", func(t *testing.T) { test(t, s.Wasm()) })
}

// TestPlan plans with a strategy that writes streams: nothing is stored.
func TestPlan(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}})
		put(site, 0, "")
		plan, err := site.Host.Plan(t.Context(), host.SnapshotOptions{})
		require.NoError(t, err)
		assert.Positive(t, plan.ByCause["records"])
		assert.Empty(t, site.List())
	})
}

// put writes users with a password each, whose value stands in password, into a
// database with or without key groups, and other records that stay.
func put(site *strategytest.Site, groups uint32, password string) {
	for i := range 2000 {
		for _, name := range []string{"password", "user"} {
			key := fmt.Sprintf("%s/%04d", name, i)
			value := fmt.Sprintf("name of user %d", i)
			if name == "password" && password != "" {
				value = password
			} else if name == "password" {
				value = strings.Repeat(fmt.Sprint("secret ", i), 10)
			}
			stored := keygroup.AppendPrefix(nil, keygroup.KeyGroup([]byte(key), groups), groups)
			site.Put("default", string(stored)+key, value)
		}
	}
	site.Put("orders", string(keygroup.AppendPrefix(nil, 0, groups))+"no password", strings.Repeat("long ", 100_000))
	site.Flush()
}

func TestRedacts(t *testing.T) {
	for _, groups := range []uint32{0, 1000} {
		t.Run(fmt.Sprint(groups, " key groups"), func(t *testing.T) {
			eachForm(t, `prefix = "password/"`+"\n"+`replacement = "***"`, func(t *testing.T, s strategytest.Subject) {
				kind := strategytest.Database{Families: []string{"orders"}, KeyGroups: groups}
				site, want := strategytest.NewSite(t, s, kind), strategytest.NewSite(t, s, kind)
				put(site, groups, "")
				put(want, groups, "***")
				m := site.Snapshot()
				assert.Equal(t, "custom", m.Kind, "it is no copy, and says so")
				assert.Equal(t, "2000", string(m.Meta["redacted"]))
				require.NotEqual(t, want.Digest(), site.Digest())
				assert.Equal(t, want.Digest(), site.RestoredDigest(m.ID))
			})
		})
	}
}

// A snapshot of some column families restores the others too, but empty.
func TestChoosesFamilies(t *testing.T) {
	eachForm(t, `families = ["orders"]`+"\n"+`prefix = "secret"`, func(t *testing.T, s strategytest.Subject) {
		kind := strategytest.Database{Families: []string{"orders", "users"}}
		site, want := strategytest.NewSite(t, s, kind), strategytest.NewSite(t, s, kind)
		for _, family := range []string{"default", "orders", "users"} {
			site.Put(family, "key", "value of "+family)
			site.Put(family, "secret", "of "+family)
		}
		want.Put("orders", "key", "value of orders")
		want.Put("orders", "secret", "")
		m := site.Snapshot()
		assert.Equal(t, "custom", m.Kind, "it is no copy, and says so")
		assert.Equal(t, "1", string(m.Meta["redacted"]))
		assert.Equal(t, want.Digest(), site.RestoredDigest(m.ID))
	})
}

func TestUnknownFamily(t *testing.T) {
	site := strategytest.NewSite(t, subject(t, `families = ["order"]`), strategytest.Database{Families: []string{"orders"}})
	site.Put("orders", "key", "value")
	_, err := site.TrySnapshot()
	require.ErrorIs(t, err, abi.EINVAL)
	require.ErrorContains(t, err, `families: the database has no column family "order"`)
}

func TestUnknownKey(t *testing.T) {
	_, err := strategytest.NewSite(t, subject(t, `suffix = "x"`), strategytest.Database{}).TrySnapshot()
	require.NoError(t, err, "an empty database asks no strategy")

	site := strategytest.NewSite(t, subject(t, `suffix = "x"`), strategytest.Database{})
	site.Put("default", "key", "value")
	_, err = site.TrySnapshot()
	require.ErrorContains(t, err, `unknown key "suffix"`)
}
