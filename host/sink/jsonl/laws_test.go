package jsonl_test

import (
	"testing"

	"github.com/rocksnap/rocksnap/host/sink/jsonl"
	"github.com/rocksnap/rocksnap/host/sink/sinktest"
)

func TestLaws(t *testing.T) { sinktest.Test(t, jsonl.Kind{}) }
