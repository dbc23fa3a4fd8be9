package blob

import (
	"fmt"
	"strings"
)

// Limits of names, in bytes. They leave room for a prefix in every store: S3
// takes keys of 1024 bytes, file systems take elements of 255.
const (
	MaxName    = 512
	MaxElement = 200
)

// CheckName returns an [ErrName] unless name can name an object: elements of
// [a-z A-Z 0-9 . _ -] separated by single slashes, none beginning with a dot.
// So a name never climbs out of its store, and everything that begins with a
// dot is left to the store itself.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("%w %.40q…: longer than %d bytes", ErrName, name, MaxName)
	}
	for element := range strings.SplitSeq(name, "/") {
		if why := checkElement(element); why != "" {
			return fmt.Errorf("%w %q: %s", ErrName, name, why)
		}
	}
	return nil
}

// CheckPrefix returns an [ErrName] unless some object's name can start with
// prefix.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckName(strings.TrimSuffix(prefix, "/"))
}

// checkElement says what is wrong with an element of a name.
func checkElement(element string) string {
	switch {
	case element == "":
		return "empty element"
	case element[0] == '.':
		return "element begins with a dot"
	case len(element) > MaxElement:
		return fmt.Sprintf("element longer than %d bytes", MaxElement)
	}
	for i := range len(element) {
		if !allowed(element[i]) {
			return fmt.Sprintf("character %q", element[i])
		}
	}
	return ""
}

// allowed reports whether a byte may be part of an element.
func allowed(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '.' || c == '_' || c == '-'
}
