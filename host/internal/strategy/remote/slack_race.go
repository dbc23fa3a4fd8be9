//go:build race

package remote

// slack covers what the race detector reserves: as good as everything.
const slack = 1 << 50
