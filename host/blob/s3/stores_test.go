package s3_test

import (
	"testing"

	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// The laws hold on servers that have nothing in common but the protocol.

func TestMinIOLaws(t *testing.T) { testLaws(t, storetest.MinIO(t)) }

func TestRcloneLaws(t *testing.T) { testLaws(t, storetest.Rclone(t)) }
