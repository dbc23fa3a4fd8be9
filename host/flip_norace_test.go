//go:build !race

package host_test

// flipEach is the distance between the bytes that are flipped.
const flipEach = 1
