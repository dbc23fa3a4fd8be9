// Package pausetest measures for how long the garbage collector stops a program.
// To do so it has to stop every goroutine, and one that runs a guest's code stops
// only where that code asks whether it should.
package pausetest

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Collect collects garbage over and over until stop is called, which returns the
// longest of the pauses meanwhile, in the whole program, to the accuracy of the
// runtime's own histogram, which is about a tenth. How long a collection takes beside
// a running program is no pause, and depends on what else the machine does.
func Collect() (stop func() time.Duration) {
	before, end, ended := pauses(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.GC()
			}
		}
	}()
	return func() time.Duration {
		close(end)
		<-ended
		return longest(before, pauses())
	}
}

func pauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

// longest returns the lower bound of the highest bucket that grew.
func longest(before, after *metrics.Float64Histogram) time.Duration {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			return time.Duration(after.Buckets[i] * float64(time.Second))
		}
	}
	return 0
}
