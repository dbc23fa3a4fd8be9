package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGroup(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal(""), nil)
	require.NoError(t, err)
	assert.Nil(t, c.Group)

	text := minimal("group.name = \"orders\"\ngroup.members = [\"orders-0\", \"orders-1\"]")
	c, err = Parse("rocksnap.toml", text, nil)
	require.NoError(t, err)
	assert.Equal(t, &Group{Name: "orders", Members: []string{"orders-0", "orders-1"}, Timeout: Duration(5 * time.Minute)}, c.Group)
	var shown []string
	for _, s := range c.Effective() {
		if strings.HasPrefix(s.Key, "group.") {
			shown = append(shown, s.Key+" = "+s.Value)
		}
	}
	assert.Equal(t, []string{`group.name = "orders"`, `group.members = ["orders-0", "orders-1"]`, `group.timeout = "5m"`}, shown)

	c, err = Parse("rocksnap.toml", text, []string{"ROCKSNAP_GROUP_TIMEOUT=90s", "ROCKSNAP_GROUP_MEMBERS=a,b,c"})
	require.NoError(t, err)
	assert.Equal(t, Duration(90*time.Second), c.Group.Timeout)
	assert.Equal(t, []string{"a", "b", "c"}, c.Group.Members)
}

func TestGroupIsRefused(t *testing.T) {
	members := `group.members = ["orders-0", "orders-1"]`
	for lines, want := range map[string]string{
		members:                                                         "[group] name: missing",
		`group.name = "orders"`:                                         "[group] members: missing",
		"group.name = \"no name\"\n" + members:                          "[group] name: must be 1 to 64 of",
		"group.name = \"o\"\ngroup.members = []":                        "[group] members: must be 1 to 100 names, not 0",
		"group.name = \"o\"\ngroup.members=[\"A\"]":                     `[group] members: must be different names, each of which must be 1 to 64 of a-z`,
		"group.name = \"o\"\ngroup.members=[\"a\", \"b\", \"a\"]":       `item 3 is "a"`,
		"group.name = \"o\"\n" + members + "\ngroup.timeout = \"10ms\"": "[group] timeout: must be at least 1s, not 10ms",
		"group.name = \"o\"\n" + members + "\ngroup.member = \"a\"":     "[group] member: unknown key",
	} {
		_, err := Parse("rocksnap.toml", minimal(lines), nil)
		assert.ErrorContains(t, err, want, lines)
	}
}
