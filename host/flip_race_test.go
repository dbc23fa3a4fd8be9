//go:build race

package host_test

// flipEach is the distance between the bytes that are flipped: the race detector
// makes each look many times as long.
const flipEach = 4
