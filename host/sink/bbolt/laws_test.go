package bbolt_test

import (
	"testing"

	"github.com/rocksnap/rocksnap/host/sink/bbolt"
	"github.com/rocksnap/rocksnap/host/sink/sinktest"
)

func TestLaws(t *testing.T) { sinktest.Test(t, bbolt.Kind{}) }
