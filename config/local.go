package config

// Local says what stays on the machine of the database, so that a restore there
// need not fetch it.
type Local struct {
	// Keep is how many checkpoints of native snapshots stay beside the database, the
	// newest ones; 0 to 16, none unless given.
	Keep int
}

const maxKept = 16

func (l *loader) checkLocal() {
	if l.config.Local.Keep > maxKept {
		l.wrong(dotted("local.keep"), "old files take space for as long as a checkpoint holds them", "must be at most %d, not %d", maxKept, l.config.Local.Keep)
	}
}
