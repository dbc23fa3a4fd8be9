package config

import (
	"math"

	"github.com/BurntSushi/toml"
)

// Pack says which files share an object in the store, since each object takes a
// request and small ones are mostly that.
type Pack struct {
	Below Size // files that are smaller share an object, 1 byte or more; 1MiB unless given
	Into  Size // at most so many bytes of files go into one object, Below or more; 32MiB unless given

	// MaxSpaceAmplification is how many times the bytes of an object may be those of
	// the files in it that are still alive, before these are stored anew; 2 unless
	// given. Below 1 they never are.
	MaxSpaceAmplification float64
}

func defaultPack() *Pack { return &Pack{Below: 1 << 20, Into: 32 << 20, MaxSpaceAmplification: 2} }

func (p *Pack) fields() []field {
	if p == nil {
		return nil
	}
	return []field{
		{packKey("below"), &p.Below},
		{packKey("into"), &p.Into},
		{packKey("max_space_amplification"), &p.MaxSpaceAmplification},
	}
}

func packKey(name string) toml.Key { return toml.Key{"repository", "pack", name} }

// completePack leaves nothing where no pack is asked for.
func (l *loader) completePack() {
	p := l.config.Repository.Pack
	asked := l.given(dotted("repository.pack"))
	for _, f := range p.fields() {
		asked = asked || l.given(f.key)
	}
	if !asked {
		l.config.Repository.Pack = nil
	}
}

func (l *loader) checkPack() {
	p := l.config.Repository.Pack
	if p == nil {
		return
	}
	if p.Below < 1 {
		l.wrong(packKey("below"), "leave pack out to give each file an object of its own", "must be at least 1B, not %s", p.Below)
	} else if p.Into < p.Below {
		key := packKey("into")
		if !l.given(key) {
			key = packKey("below")
		}
		l.wrong(key, "", "an object of at most %s cannot hold files of up to %s", p.Into, p.Below)
	}
	if a := p.MaxSpaceAmplification; math.IsNaN(a) || math.IsInf(a, 0) || a < 0 {
		l.wrong(packKey("max_space_amplification"), "0 never stores files anew that are still alive", "must be a number from 0, not %v", a)
	}
}
