package host

import "github.com/rocksnap/rocksnap/host/internal/child"

// RunChild lets a program that embeds the host keep modules that it does not know
// at arm's length: compiling them, and with isolation = "process" running them,
// happens in further processes of the same program, which the host starts, limits
// and kills. Call it first in main; in such a process it does not return.
//
// Without it modules are compiled in the program's own process, within the limits
// that are checked beforehand, and isolation = "process" is refused.
func RunChild() { child.Main() }
