package pebble_test

import (
	"testing"

	"github.com/rocksnap/rocksnap/host/sink/pebble"
	"github.com/rocksnap/rocksnap/host/sink/sinktest"
)

func TestLaws(t *testing.T) { sinktest.Test(t, pebble.Kind{}) }
