package main

import (
	"testing"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func TestLaws(t *testing.T) {
	strategytest.Run(t, strategytest.Subject{
		Name:   "native-full",
		Open:   func() abi.Strategy { return nativeFull{} },
		Module: strategytest.Build(t, "."),
		Allow:  []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload},
		Trace:  "testdata/trace.txt",
	})
}
