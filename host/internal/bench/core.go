package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// onOneCore has work done on one core: all threads of the process are bound to it,
// and so are those that they start.
func onOneCore(work func() error) error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("bind to a core: %w", err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := bind(&one); err != nil {
		return fmt.Errorf("bind to a core: %w", err)
	}
	before := runtime.GOMAXPROCS(1)
	err := work()
	runtime.GOMAXPROCS(before)
	return errors.Join(err, bind(&all))
}

// bind binds every thread. One that ends meanwhile needs no binding; one that starts
// inherits it, or is seen the second time.
func bind(cores *unix.CPUSet) error {
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err == nil {
				err = unix.SchedSetaffinity(id, cores)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}
