package host

// Held returns how many compiled modules a host holds, and the bytes that their
// instances have of the memory that the configuration gives to all.
func Held(h *Host) (modules int, memory int64) {
	all := h.strategies.modules
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.held), budget(int64(h.config().Plugins.Memory)).Used()
}

// Digest returns the sha256 of the module that a host runs under a name.
func Digest(h *Host, name string) string { return h.strategies.current.digest(name) }
