// Package scenarios holds rocksnap to the scenarios that Flink's own tests of its
// RocksDB snapshots check: against real databases and, where nothing else is said,
// through the modules that come with rocksnap. docs/flink-parity.md says which test
// stands for which scenario, and why some have none.
package scenarios
