// Command module is the mutants as a module, whose option mutation chooses one.
package main

import (
	"github.com/rocksnap/rocksnap/abi/guest"
	"github.com/rocksnap/rocksnap/host/strategytest/internal/mutant"
)

func init() { guest.Register(&mutant.Strategy{Mutation: mutant.Good}) }

func main() {}
