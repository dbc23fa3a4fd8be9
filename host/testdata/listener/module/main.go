// Command module is the listener as a WebAssembly module.
package main

import (
	"github.com/rocksnap/rocksnap/abi/guest"
	"github.com/rocksnap/rocksnap/host/testdata/listener"
)

func init() { guest.Register(&listener.Strategy{}) }

func main() {}
