package sink

import (
	"fmt"
	"strings"
)

const (
	hexDigits = "0123456789abcdef"

	// emptyName stands for the empty name, which no other name becomes: % is
	// always followed by two digits.
	emptyName = "%"
)

// FileName returns the name of the file or folder of a column family: its own
// name, in which every byte but letters, digits, '-', '_' and an inner '.' is
// written as in a URL. [FamilyName] is the way back. Of two column families, no
// two get the same.
func FileName(family string) string {
	if family == "" {
		return emptyName
	}
	var b strings.Builder
	for i := range len(family) {
		if c := family[i]; plain(c) || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// FamilyName returns the column family that a file or folder is of. It fails for
// a name that [FileName] does not give.
func FamilyName(file string) (string, error) {
	if file == emptyName {
		return "", nil
	}
	var family []byte
	for i := 0; i < len(file); i++ {
		c := file[i]
		if c == '%' && i+2 < len(file) {
			c = byte(strings.IndexByte(hexDigits, file[i+1])<<4 | strings.IndexByte(hexDigits, file[i+2])&15)
			i += 2
		}
		family = append(family, c)
	}
	if len(family) == 0 || FileName(string(family)) != file {
		return "", fmt.Errorf("%q is not the name of a column family", file)
	}
	return string(family), nil
}
