//go:build race

package child

// The race detector lets a process wait for a second before it exits.
func init() { environment = append(environment, "GORACE=atexit_sleep_ms=0") }
