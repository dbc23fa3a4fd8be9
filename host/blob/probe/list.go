package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// listed are names of objects, relative to the probe. Their order is not that of
// their path elements: '-' and '.' sort before the slash, digits after it.
var listed = slices.Concat(
	[]string{"list/b/c", "list/b.c", "list/b0", "list/b-", "list/b/d/e", "list/B"},
	[]string{"list/a/c", "list/a.c", "list/a0", "list/a-", "list/a/d/e", "list/A"},
	[]string{"list/e/c", "list/e.c", "list/e0", "list/e-", "list/e/d/e", "list/E"},
	[]string{"list/c/c", "list/c.c", "list/c0", "list/c-", "list/c/d/e", "list/C"},
	[]string{"list/d/c", "list/d.c", "list/d0", "list/d-", "list/d/d/e", "list/D"},
)

// listAfterCreate lists after each create, and wants to see it at once. It
// creates all objects in any case, for the checks that follow.
func (p *probe) listAfterCreate(ctx context.Context) (string, error) {
	var failed error
	for i, name := range listed {
		if err := p.create(ctx, name, 'l', 1); err != nil {
			return "", err
		}
		if err := p.requireList(ctx, listed[:i+1], "list/", ""); failed == nil && err != nil {
			failed = fmt.Errorf("after %s was created: %w", name, err)
		}
	}
	return fmt.Sprintf("each of %d objects is listed at once", len(listed)), failed
}

// listOrder lists in pieces, as a page begins after the last name of the one
// before it.
func (p *probe) listOrder(ctx context.Context) (string, error) {
	for _, prefix := range []string{"list/", "list/c", "list/c/", "list/x"} {
		for _, after := range []string{"list/B", "list/a-", "list/b/", "list/c.c", "list/c/c", "list/e0"} {
			if err := p.requireList(ctx, listed, prefix, after); err != nil {
				return "", err
			}
		}
	}
	return "bytewise order; a list goes on after any name", nil
}

// requireList compares a list with what it has to be when some objects are there.
func (p *probe) requireList(ctx context.Context, there []string, prefix, after string) error {
	got, want := []string{}, []string{}
	for _, name := range slices.Sorted(slices.Values(there)) {
		if strings.HasPrefix(name, prefix) && name > after {
			want = append(want, name)
		}
	}
	if after != "" {
		after = p.dir + after
	}
	for info, err := range p.store.List(ctx, p.dir+prefix, after) {
		if err != nil {
			return err
		}
		got = append(got, strings.TrimPrefix(info.Name, p.dir))
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list %s after %q: got %v for %v", prefix, strings.TrimPrefix(after, p.dir), got, want)
	}
	return nil
}

// deleteMany deletes all that was listed, and some that never was, with one call.
func (p *probe) deleteMany(ctx context.Context) (string, error) {
	names := []string{p.dir + "absent", p.dir + "list/absent"}
	for _, name := range listed {
		names = append(names, p.dir+name)
	}
	if err := p.store.Delete(ctx, names...); err != nil {
		return "", err
	}
	for _, name := range names {
		if _, err := p.store.Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("stat %s, which was deleted: %w", strings.TrimPrefix(name, p.dir), orNone(err))
		}
	}
	return fmt.Sprintf("%d names with one call", len(names)), nil
}

func (p *probe) listAfterDelete(ctx context.Context) (string, error) {
	return "what is deleted is not listed", p.requireList(ctx, nil, "list/", "")
}

// root is the beginning of the names of every probe.
const root = "probe/"

// abandon removes what there is although ctx is done.
func (p *probe) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return p.remove(ctx)
}

// remove deletes the objects of the probe. It finds them by listing, as a create
// that failed may have made one too.
func (p *probe) remove(ctx context.Context) error {
	names, err := p.leftovers(ctx)
	if err == nil && len(names) > 0 {
		err = p.store.Delete(ctx, names...)
	}
	if err == nil {
		names, err = p.leftovers(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("remove what is below %s: %w", p.dir, err)
	case len(names) > 0:
		return fmt.Errorf("%d objects below %s are still listed after they were deleted", len(names), p.dir)
	}
	return nil
}

// leftovers lists the objects of this probe, and those of probes that were killed
// a day ago or earlier.
func (p *probe) leftovers(ctx context.Context) (names []string, err error) {
	old := time.Now().Add(p.report.ClockSkew).AddDate(0, 0, -1)
	for info, err := range p.store.List(ctx, root, "") {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(info.Name, p.dir) || info.Modified.Before(old) {
			names = append(names, info.Name)
		}
	}
	return names, nil
}
