package config

// Transfer bounds the traffic with the store.
type Transfer struct {
	Workers       int  // objects moved at the same time, 1 to 256; 4 unless given
	RateLimit     Rate // in each direction; 0 for none
	UploadLimit   Rate // to the store; 0 for none, RateLimit unless given
	DownloadLimit Rate // from the store; 0 for none, RateLimit unless given

	// Requests bounds the requests to the server at the same time, 1 to 256. A
	// large object takes several, so the default is four for each worker, within
	// 8 and 256. It is 0 for a folder.
	Requests int

	// Memory bounds the buffers of all transfers together, in bytes, 32MiB or
	// more. What is sent must be held until it has arrived, since the server may
	// ask for it again; the default, 128MiB, feeds the requests of the default
	// workers with 8MiB each. It is 0 for a folder, which needs none.
	Memory Size
}

const (
	maxWorkers  = 256
	maxRequests = 256

	defaultMemory Size = 128 << 20
	leastMemory   Size = 32 << 20
)

// completeTransfer settles the limits that follow from others.
func (l *loader) completeTransfer() {
	t := &l.config.Repository.Transfer
	if !l.given(dotted("repository.transfer.upload_limit")) {
		t.UploadLimit = t.RateLimit
	}
	if !l.given(dotted("repository.transfer.download_limit")) {
		t.DownloadLimit = t.RateLimit
	}
	if _, _, ok := l.config.Repository.S3(); !ok {
		return
	}
	if !l.given(dotted("repository.transfer.requests")) {
		t.Requests = min(max(4*t.Workers, 8), maxRequests)
	}
	if !l.given(dotted("repository.transfer.memory")) {
		t.Memory = defaultMemory
	}
}

func (l *loader) checkTransfer() {
	t := l.config.Repository.Transfer
	if t.Workers < 1 || t.Workers > maxWorkers {
		l.wrong(dotted("repository.transfer.workers"), "", "must be 1 to %d, not %d", maxWorkers, t.Workers)
	}
	if _, _, ok := l.config.Repository.S3(); !ok {
		return
	}
	if t.Requests < 1 || t.Requests > maxRequests {
		l.wrong(dotted("repository.transfer.requests"), "", "must be 1 to %d, not %d", maxRequests, t.Requests)
	}
	if t.Memory < leastMemory {
		l.wrong(dotted("repository.transfer.memory"), "", "must be at least %s, not %s", leastMemory, t.Memory)
	}
}
