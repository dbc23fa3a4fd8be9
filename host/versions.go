package host

import (
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// RocksDBVersion returns the version of the RocksDB library at run time, as in
// "7.8.3".
func RocksDBVersion() string { return rocks.Version() }

// ABIVersion returns the version of the contract with strategies that this host
// speaks, as in "1.0".
func ABIVersion() string { return fmt.Sprintf("%d.%d", abi.Major, abi.Minor) }
