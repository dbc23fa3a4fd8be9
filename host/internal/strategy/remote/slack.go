//go:build !race

package remote

// slack is what a child may use beside the memory and the stack of its guest: the
// runtime, compiled code, and what crosses the pipes. Go and the C library reserve
// more than they use, and reserved memory counts.
const slack = 512 << 20
