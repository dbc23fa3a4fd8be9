package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// LoadTimes says how long it takes until a module can serve a snapshot.
type LoadTimes struct {
	Cold        time.Duration   // to check and compile it, when it was never seen before
	Warm        []time.Duration // to load it, when it was
	Instantiate []time.Duration // to make an instance of what is loaded
}

// MeasureLoading loads the module in a file, the first time into an empty cache,
// and then as often as runs says. It fails as loading it for a snapshot would.
func MeasureLoading(ctx context.Context, path string, allow []abi.Grant, runs int) (times LoadTimes, err error) {
	path, _, err = (&generation{cfg: new(config.Config)}).find(path)
	if err != nil {
		return times, err
	}
	wasm, err := readModule(path)
	if err != nil {
		return times, problem(CodePlugin, fmt.Errorf("measure module: %w", err), "")
	}
	cache, err := os.MkdirTemp("", "rocksnap-bench-")
	if err != nil {
		return times, fmt.Errorf("measure module: %w", err)
	}
	defer os.RemoveAll(cache)
	o := strategy.Options{Grants: allow, CacheDir: cache}
	for run := range runs + 1 {
		began := time.Now()
		module, err := strategy.Load(ctx, "bench", wasm, o)
		took := time.Since(began)
		if err != nil {
			return times, problem(CodePlugin, err, "")
		}
		if run == 0 {
			times.Cold = took
		} else {
			times.Warm = append(times.Warm, took)
			took, err = measureInstance(ctx, module)
			times.Instantiate = append(times.Instantiate, took)
		}
		if closing := module.Close(ctx); err == nil {
			err = closing
		}
		if err != nil {
			return times, problem(CodePlugin, err, "")
		}
	}
	return times, nil
}

func measureInstance(ctx context.Context, m *strategy.Module) (time.Duration, error) {
	began := time.Now()
	instance, err := m.New(ctx)
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	return took, instance.Close(ctx)
}
