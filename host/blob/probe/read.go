package probe

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"
)

// ranges reads pieces of an object of ten different bytes.
func (p *probe) ranges(ctx context.Context) (string, error) {
	const digits = "0123456789"
	if err := p.store.Create(ctx, p.dir+"digits", strings.NewReader(digits)); err != nil {
		return "", err
	}
	for _, r := range []struct {
		offset, length int64
		want           string
	}{{0, 3, "012"}, {4, 2, "45"}, {7, 3, "789"}, {7, -1, "789"}, {9, 1, "9"}, {10, 0, ""}} {
		got, err := p.piece(ctx, r.offset, r.length)
		if err != nil || got != r.want {
			return "", fmt.Errorf("read %d bytes from %d of %s: got %q, %w", r.length, r.offset, digits, got, orNone(err))
		}
	}
	if got, err := p.piece(ctx, 8, 5); got != "89" || !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read beyond the end of %s: got %q, %w", digits, got, orNone(err))
	}
	return "start, middle and end of an object", nil
}

// piece reads a range of the digits.
func (p *probe) piece(ctx context.Context, offset, length int64) (string, error) {
	r, err := p.store.Open(ctx, p.dir+"digits", offset, length)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

// orNone stands for an error that is missing.
func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// checksums compares what the store knows of objects of different sizes with what
// was sent. Stores may have another sort of checksum for what was sent in parts.
func (p *probe) checksums(ctx context.Context) (string, error) {
	objects := []object{{"sum/small", 's', smallSize}, {"sum/empty", 0, 0}}
	for _, o := range objects {
		if err := p.create(ctx, o.name, o.b, o.size); err != nil {
			return "", err
		}
	}
	if p.large != 0 {
		objects = append(objects, object{"large", p.large, largeSize})
	}
	unknown := 0
	for _, o := range objects {
		info, err := p.store.Stat(ctx, p.dir+o.name)
		switch {
		case err != nil:
			return "", err
		case info.CRC32C == nil:
			unknown++
		case *info.CRC32C != o.crc():
			return "", fmt.Errorf("the store tells the CRC32C %08x of %d bytes that have %08x", *info.CRC32C, o.size, o.crc())
		}
	}
	if unknown > 0 {
		return "", warning(fmt.Sprintf("the store tells no CRC32C of %d in %d objects: to verify those is to read them", unknown, len(objects)))
	}
	return "the store knows the CRC32C of every object", nil
}

// object is one that consists of one byte, repeated.
type object struct {
	name string
	b    byte
	size int64
}

func (o object) crc() uint32 {
	crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = io.CopyN(crc, repeated(o.b), o.size) // neither of them fails
	return crc.Sum32()
}

// maxSkew is how far clocks may be apart without a warning. Providers refuse
// requests of a client that is a quarter of an hour off.
const maxSkew = time.Minute

// clock looks when, by its own clock, the store has created an object.
func (p *probe) clock(ctx context.Context) (string, error) {
	before := time.Now().Truncate(time.Second) // as the store may tell whole seconds
	if err := p.create(ctx, "clock", 'c', 1); err != nil {
		return "", err
	}
	after := time.Now()
	info, err := p.store.Stat(ctx, p.dir+"clock")
	switch {
	case err != nil:
		return "", err
	case info.Modified.IsZero():
		return "", errors.New("the store does not tell when an object was created, so none can be old enough to be removed")
	case info.Modified.Before(before):
		p.report.ClockSkew = info.Modified.Sub(before)
	case info.Modified.After(after):
		p.report.ClockSkew = info.Modified.Sub(after)
	}
	skew := p.report.ClockSkew.Round(time.Second)
	if skew.Abs() > maxSkew {
		return "", warning(fmt.Sprintf("the store's clock is %s ahead of this host's", skew))
	}
	return fmt.Sprintf("the store's clock is %s ahead of this host's", skew), nil
}
