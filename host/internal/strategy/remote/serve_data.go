package remote

import "github.com/rocksnap/rocksnap/abi"

// The calls of the data path. A block crosses as one frame, whatever its length,
// for the session takes and gives whole records.

func scanOpen(r *request) (int, error) {
	family, first, last := r.u32(0), r.u32(1), r.u32(2)
	if err := r.full(); err != nil {
		return 0, err
	}
	scan, err := r.session.ScanOpen(family, first, last)
	if err != nil {
		return 0, err
	}
	return r.keep(scan)
}

func scanNext(r *request) (int, error) {
	scan, err := opened[abi.Scan](r, r.a[0])
	if err != nil {
		return 0, err
	}
	buf, err := r.room(r.a[1])
	if err != nil {
		return 0, err
	}
	n, err := scan.Next(buf)
	r.answer = buf[:n]
	return n, err
}

func scanNeed(r *request) (int, error) {
	scan, err := opened[abi.Scan](r, r.a[0])
	if err != nil {
		return 0, err
	}
	return scan.Need(), nil
}

func scanClose(r *request) (int, error) {
	scan, err := opened[abi.Scan](r, r.a[0])
	if err != nil {
		return 0, err
	}
	delete(r.open, r.a[0])
	return 0, scan.Close()
}

func streamOpen(r *request) (int, error) {
	spec, err := recordsIn[abi.StreamSpec](r.data)
	if err != nil || len(spec) != 1 {
		return 0, r.breaks("spec of %d bytes", len(r.data))
	}
	if err := r.full(); err != nil {
		return 0, err
	}
	stream, err := r.session.StreamOpen(spec[0])
	if err != nil {
		return 0, err
	}
	return r.keep(stream)
}

func streamWrite(r *request) (int, error) {
	stream, err := opened[abi.Stream](r, r.a[0])
	if err != nil {
		return 0, err
	}
	return stream.Write(r.data)
}

func streamClose(r *request) (int, error) {
	stream, err := opened[abi.Stream](r, r.a[0])
	if err != nil {
		return 0, err
	}
	delete(r.open, r.a[0])
	return 0, stream.Close()
}

func pump(r *request) (int, error) {
	scan, err := opened[abi.Scan](r, r.a[0])
	if err != nil {
		return 0, err
	}
	stream, err := opened[abi.Stream](r, r.a[1])
	if err != nil {
		return 0, err
	}
	buf, err := r.room(r.a[2])
	if err != nil {
		return 0, err
	}
	n, err := r.session.Pump(scan, stream, buf)
	r.answer = buf[:n]
	return n, err
}
