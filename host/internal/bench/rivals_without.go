//go:build !cgo

package bench

// ScanBinding is missing in a program without RocksDB.
func ScanBinding(string) Contender {
	return Contender{Missing: "this program was built without RocksDB"}
}
