package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The mutations of the protocol: each leaves one of its steps out, by keeping from
// a process what that step would have shown.
var mutations = map[string]spoiler{
	"prune sees no intents": {hide: func(p *process, prefix, _, _ string) bool {
		return isPruner(p) && strings.HasSuffix(prefix, "/intents/")
	}},
	"prune sees no intents of what was handed over": {hide: func(p *process, prefix, _, name string) bool {
		return isPruner(p) && strings.HasSuffix(prefix, "/intents/") && p.model.isHanded(name)
	}},
	"prune sees no pins": {hide: func(p *process, prefix, _, _ string) bool {
		return isPruner(p) && strings.Contains(prefix, "/pins/")
	}},
	"prune reads intents before it lists objects": {hide: func(p *process, prefix, _, name string) bool {
		return isPruner(p) && strings.HasSuffix(prefix, "/intents/") && p.model.born[name] > p.began
	}},
	"prune reads pins before it declares a removal": {hide: func(p *process, prefix, _, name string) bool {
		return isPruner(p) && strings.Contains(prefix, "/pins/") && p.model.born[name] > p.began
	}},
	"prune walks only once where objects replace each other": {hide: func(p *process, prefix, _, name string) bool {
		return isPruner(p) && replaces(prefix) && p.walks[prefix]%2 == 0 && p.model.born[name] >= p.walked[prefix]
	}},
	"a publisher does not look whether its slot was removed": {hide: func(p *process, _, after, _ string) bool {
		return after == p.made && strings.Contains(after, "/entries/")
	}},
	"the store lets two create one name": {free: func(_ *process, name string) bool {
		return strings.Contains(name, "/entries/")
	}},
}

func replaces(prefix string) bool {
	return strings.HasSuffix(prefix, "/intents/") || strings.Contains(prefix, "/pins/")
}

func isPruner(p *process) bool {
	return strings.HasPrefix(p.name, "pruner") || strings.HasPrefix(p.name, "operator")
}

// TestSimulationFindsMutations proves that the simulation would notice.
func TestSimulationFindsMutations(t *testing.T) {
	for name, spoil := range mutations {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds(300) {
				if w := simulate(t, seed, spoil); len(w.model.wrong) > 0 {
					t.Logf("seed %d: %s", seed, w.model.wrong[0])
					return
				}
			}
			assert.Fail(t, "nobody has noticed")
		})
	}
}
