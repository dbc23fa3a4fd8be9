// Command module is the tour as a WebAssembly module.
package main

import (
	"github.com/rocksnap/rocksnap/abi/guest"
	"github.com/rocksnap/rocksnap/host/internal/strategy/testdata/tour"
)

func init() { guest.Register(&tour.Strategy{}) }

func main() {}
