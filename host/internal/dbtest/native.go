package dbtest

import (
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/native"
)

// Native is [native.Options].
func Native() []host.Option { return native.Options() }

// Files is [native.Files].
type Files = native.Files

// Records is [native.Records].
type Records = native.Records
