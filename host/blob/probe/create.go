package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/rocksnap/rocksnap/host/blob"
)

// readBack reads the first object and asks for its size.
func (p *probe) readBack(ctx context.Context) (string, error) {
	info, err := p.store.Stat(ctx, p.dir+"first")
	if err != nil {
		return "", err
	}
	if info.Size != smallSize {
		return "", fmt.Errorf("the store tells %d bytes of %d", info.Size, smallSize)
	}
	return "what was written is there at once", p.requireContent(ctx, "first", 'f', smallSize)
}

// createTwice creates a name that is taken.
func (p *probe) createTwice(ctx context.Context) (string, error) {
	for _, size := range []int64{1, largeSize} { // large objects are sent in another way
		err := p.create(ctx, "first", '2', size)
		switch {
		case err == nil:
			return "", fmt.Errorf("a create, of %d bytes, succeeded although the name was taken", size)
		case !errors.Is(err, fs.ErrExist):
			return "", err
		}
		if err := p.requireContent(ctx, "first", 'f', smallSize); err != nil {
			return "", fmt.Errorf("after a create that was refused: %w", err)
		}
	}
	return "a second create is refused and changes nothing", nil
}

func (p *probe) raceSmall(ctx context.Context) (string, error) {
	for round := range rounds {
		if _, err := p.race(ctx, fmt.Sprintf("race/%d", round), creators, smallSize); err != nil {
			return "", fmt.Errorf("round %d of %d creators: %w", round+1, creators, err)
		}
	}
	return fmt.Sprintf("one winner in each of %d rounds of %d creators", rounds, creators), nil
}

func (p *probe) raceLarge(ctx context.Context) (_ string, err error) {
	if p.large, err = p.race(ctx, "large", largeRace, largeSize); err != nil {
		return "", fmt.Errorf("%d creators of %d bytes: %w", largeRace, largeSize, err)
	}
	return fmt.Sprintf("one winner of %d creators of %d bytes", largeRace, largeSize), nil
}

// race lets n creators with different contents go for one name. One has to win,
// all others have to know that they did not, and the winner's bytes have to be
// there. It returns the byte of which these consist.
func (p *probe) race(ctx context.Context, name string, n int, size int64) (byte, error) {
	errs := make([]error, n)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range errs {
		done.Go(func() {
			<-start
			errs[i] = p.create(ctx, name, contender(i), size)
		})
	}
	close(start)
	done.Wait()
	content, err := p.contentOf(ctx, name, size)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("nobody won: %w", errors.Join(errs...))
	}
	if err != nil {
		return 0, err
	}
	return content, judge(errs, int(content)-int(contender(0)))
}

// contender is the byte that a creator writes.
func contender(i int) byte { return byte('A' + i) }

// judge looks at what the creators were told when the bytes of one of them are in
// the store.
func judge(errs []error, winner int) error {
	if winner < 0 || winner >= len(errs) {
		return errors.New("the bytes of nobody are there")
	}
	for i, err := range errs {
		switch {
		case i == winner && (err == nil || errors.Is(err, blob.ErrUnknownOutcome)):
		case i == winner:
			return fmt.Errorf("the bytes of a creator are there that failed: %w", err)
		case err == nil:
			return errors.New("more than one creator was told that it won")
		case !errors.Is(err, fs.ErrExist) && !errors.Is(err, blob.ErrUnknownOutcome):
			return err
		}
	}
	return nil
}

// requireContent fails unless an object is one byte, repeated.
func (p *probe) requireContent(ctx context.Context, name string, b byte, size int64) error {
	got, err := p.contentOf(ctx, name, size)
	if err == nil && got != b {
		err = fmt.Errorf("%s has other bytes than were written", name)
	}
	return err
}

// create creates an object of one byte, repeated.
func (p *probe) create(ctx context.Context, name string, b byte, size int64) error {
	return p.store.Create(ctx, p.dir+name, io.LimitReader(repeated(b), size))
}

// repeated yields one byte for ever. Two creators with different bytes have no
// part in common.
type repeated byte

func (b repeated) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	p[0] = byte(b)
	for done := 1; done < len(p); {
		done += copy(p[done:], p[:done])
	}
	return len(p), nil
}

// contentOf reads an object and returns the byte of which it consists.
func (p *probe) contentOf(ctx context.Context, name string, size int64) (byte, error) {
	r, err := p.store.Open(ctx, p.dir+name, 0, -1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	content := uniform{name: name}
	n, err := io.Copy(&content, r)
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes of %d", name, n, size)
	}
	return content.b, err
}

// uniform takes bytes that are all the same.
type uniform struct {
	name  string
	b     byte
	begun bool
}

func (u *uniform) Write(p []byte) (int, error) {
	if !u.begun && len(p) > 0 {
		u.b, u.begun = p[0], true
	}
	if bytes.Count(p, []byte{u.b}) != len(p) {
		return 0, fmt.Errorf("%s has bytes of more than one creator", u.name)
	}
	return len(p), nil
}
