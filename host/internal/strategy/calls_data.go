package strategy

import "github.com/rocksnap/rocksnap/abi"

// The calls of the data path. Whole blocks of records go through them, so the
// session reads and writes the guest's memory itself. It must be done with it
// when it returns. A pointer is looked at before a handle: where both are wrong,
// the worse mistake counts.

func scanOpen(i *Instance, a args) (int, error) {
	scan, err := i.session.ScanOpen(a.u32(0), a.u32(1), a.u32(2))
	if err != nil {
		return 0, err
	}
	n, err := i.handles.add(scan)
	if err != nil {
		scan.Close() // err says what matters
	}
	return n, err
}

func scanNext(i *Instance, a args) (int, error) {
	buf := i.span(a[1:])
	scan, err := handle[abi.Scan](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	return scan.Next(buf)
}

func scanNeed(i *Instance, a args) (int, error) {
	scan, err := handle[abi.Scan](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	return scan.Need(), nil
}

func scanClose(i *Instance, a args) (int, error) {
	scan, err := handle[abi.Scan](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	i.handles.remove(a.u32(0))
	return 0, scan.Close()
}

func streamOpen(i *Instance, a args) (int, error) {
	spec, err := input[abi.StreamSpec](i, a.u32(0), 1, a.u32(1))
	if err != nil {
		return 0, err
	}
	stream, err := i.session.StreamOpen(spec[0])
	if err != nil {
		return 0, err
	}
	return i.handles.add(stream)
}

func streamWrite(i *Instance, a args) (int, error) {
	data := i.span(a[1:])
	stream, err := handle[abi.Stream](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	return stream.Write(data)
}

func streamClose(i *Instance, a args) (int, error) {
	stream, err := handle[abi.Stream](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	i.handles.remove(a.u32(0))
	return 0, stream.Close()
}

func pump(i *Instance, a args) (int, error) {
	buf := i.span(a[2:])
	scan, err := handle[abi.Scan](&i.handles, a.u32(0))
	if err != nil {
		return 0, err
	}
	stream, err := handle[abi.Stream](&i.handles, a.u32(1))
	if err != nil {
		return 0, err
	}
	return i.session.Pump(scan, stream, buf)
}
