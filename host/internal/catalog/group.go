package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// A group snapshot is named NAME/ID: the group, and the barrier at which its
// members took their snapshots.

// maxMembers keeps the documents of a group within maxDocument.
const maxMembers = 100

// GroupPlan says who takes part in a group snapshot, and how long the others wait
// for one who does not come. Whoever comes first creates it.
type GroupPlan struct {
	Version   int       `json:"version"` // FormatVersion
	Group     string    `json:"group"`   // NAME/ID
	Members   []string  `json:"members"` // databases, in order
	TimeoutMs int64     `json:"timeout_ms"`
	Created   time.Time `json:"created"` // by the maker's clock; decides nothing
	Owner     Owner     `json:"owner"`
	Digest    string    `json:"digest"` // of the other fields
}

// GroupMember is one database's snapshot in a group snapshot.
type GroupMember struct {
	Database string `json:"database"`
	Snapshot string `json:"snapshot"` // id
	Slot     uint64 `json:"slot"`
	Entry    string `json:"entry"` // digest of the entry
}

// posted is the document by which a member says that its snapshot is stored.
type posted struct {
	Version int    `json:"version"`
	Group   string `json:"group"`
	GroupMember
	Created time.Time `json:"created"`
	Owner   Owner     `json:"owner"`
	Digest  string    `json:"digest"`
}

// GroupOutcome says what became of a group snapshot. It is created once, and never
// removed: as long as it is there nobody can decide otherwise.
type GroupOutcome struct {
	Version   int           `json:"version"`
	Group     string        `json:"group"`
	Committed bool          `json:"committed"`
	Members   []GroupMember `json:"members,omitempty"` // of a committed one, in order
	Reason    string        `json:"reason,omitempty"`  // of an aborted one
	Missing   []string      `json:"missing,omitempty"` // members that had not posted when it was aborted
	Created   time.Time     `json:"created"`           // by the maker's clock
	Owner     Owner         `json:"owner"`
	Digest    string        `json:"digest"`
}

// ErrGroupAborted reports a group snapshot that was given up. It always comes
// inside a [GroupAbortedError].
var ErrGroupAborted = errors.New("aborted")

// ErrGroupCommitted reports a group snapshot that was committed before.
var ErrGroupCommitted = errors.New("committed before")

// ErrGroupPlan reports a plan that differs from the one that is there.
var ErrGroupPlan = errors.New("the members of the group differ")

// GroupAbortedError says why a group snapshot was given up.
type GroupAbortedError struct {
	Group   string
	Reason  string
	Missing []string // members that had not posted
}

// Error returns a line that names who was missing.
func (e *GroupAbortedError) Error() string {
	text := fmt.Sprintf("group %s is aborted: %s", e.Group, e.Reason)
	if len(e.Missing) > 0 {
		text += "; without a snapshot: " + strings.Join(e.Missing, ", ")
	}
	return text
}

// Unwrap returns [ErrGroupAborted].
func (e *GroupAbortedError) Unwrap() error { return ErrGroupAborted }

// err is nil for a committed group.
func (o *GroupOutcome) err() error {
	if o.Committed {
		return nil
	}
	return &GroupAbortedError{o.Group, o.Reason, o.Missing}
}

// member returns a database's snapshot in a committed group.
func (o *GroupOutcome) member(database string) (GroupMember, bool) {
	i := slices.IndexFunc(o.Members, func(m GroupMember) bool { return m.Database == database })
	if i < 0 {
		return GroupMember{}, false
	}
	return o.Members[i], true
}

const groupsPrefix = "groups/"

func groupDocuments(group string) string { return groupsPrefix + group + "/" }

func planName(group string) string { return groupDocuments(group) + "plan" }

func outcomeName(group string) string { return groupDocuments(group) + "outcome" }

func postedPrefix(group string) string { return groupDocuments(group) + "members/" }

// CheckGroup returns an error unless a group snapshot can be named NAME/ID like
// this: each 1 to 64 letters, digits, dots, hyphens and underscores, and the id not
// "latest".
func CheckGroup(group string) error {
	name, id, _ := strings.Cut(group, "/")
	for _, part := range []string{name, id} {
		if len(part) > 64 || !isName(part) {
			return fmt.Errorf("%q is no name: 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\", not starting with a dot", part)
		}
	}
	if id == Latest {
		return fmt.Errorf("%q stands for the newest one", id)
	}
	return nil
}

func (p *GroupPlan) validate() error {
	if err := CheckGroup(p.Group); err != nil {
		return err
	}
	switch {
	case len(p.Members) == 0 || len(p.Members) > maxMembers:
		return fmt.Errorf("it has %d members, not 1 to %d", len(p.Members), maxMembers)
	case !slices.IsSorted(p.Members) || len(slices.Compact(slices.Clone(p.Members))) != len(p.Members):
		return errors.New("members are out of order")
	case slices.ContainsFunc(p.Members, func(m string) bool { return !isName(m) }):
		return errors.New("the name of a member is malformed")
	case p.TimeoutMs <= 0:
		return errors.New("it has no timeout")
	}
	return nil
}

func (m *GroupMember) validate() error {
	if !isName(m.Database) || !isUUID(m.Snapshot) || m.Slot == 0 || !isDigest(m.Entry) {
		return fmt.Errorf("member %q is malformed", m.Database)
	}
	return nil
}

func (o *GroupOutcome) validate() error {
	for i := range o.Members {
		if err := o.Members[i].validate(); err != nil {
			return err
		}
	}
	if o.Committed != (len(o.Members) > 0) || o.Committed != (o.Reason == "") {
		return errors.New("it says neither committed nor aborted")
	}
	return nil
}

// propose creates a document unless the name is taken, and returns what stands
// there then, whoever made it. That is how an unknown outcome is resolved.
func propose(ctx context.Context, store blob.Store, name string, data []byte) ([]byte, error) {
	for range tries {
		err := store.Create(ctx, name, bytes.NewReader(data))
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, blob.ErrUnknownOutcome) {
			return nil, fmt.Errorf("create %s: %w", name, err)
		}
		found, err := readObject(ctx, store, name, maxDocument)
		switch {
		case err == nil:
			return found, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read %s: %w: %w", name, blob.ErrUnknownOutcome, err)
		}
	}
	return nil, fmt.Errorf("create %s: %w", name, blob.ErrUnknownOutcome)
}

// outcome reads what became of a group snapshot. It fails with fs.ErrNotExist while
// nothing is decided. What is decided stays so, hence it is remembered.
func (c *Catalog) outcome(ctx context.Context, group string) (*GroupOutcome, error) {
	if known, ok := c.decided.Load(group); ok {
		return known.(*GroupOutcome), nil
	}
	data, err := readObject(ctx, c.store, outcomeName(group), maxDocument)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", outcomeName(group), err)
	}
	return c.remember(group, data)
}

func (c *Catalog) remember(group string, data []byte) (*GroupOutcome, error) {
	var o GroupOutcome
	if err := openGroup(outcomeName(group), data, &o, &o.Digest, func() (string, error) { return o.Group, o.validate() }, group); err != nil {
		return nil, err
	}
	c.decided.Store(group, &o)
	return &o, nil
}

// openGroup decodes a document of a group, which check looks at and returns the
// group of.
func openGroup(name string, data []byte, document any, digest *string, check func() (string, error), group string) error {
	err := openDocument(data, document, digest)
	if err == nil {
		var of string
		if of, err = check(); err == nil && of != group {
			err = fmt.Errorf("it was written for group %s", of)
		}
	}
	return blame(name, err)
}

func readPlan(name, group string, data []byte) (p GroupPlan, err error) {
	err = openGroup(name, data, &p, &p.Digest, func() (string, error) { return p.Group, p.validate() }, group)
	return p, err
}

func readPosted(name, group string, data []byte) (p posted, err error) {
	err = openGroup(name, data, &p, &p.Digest, func() (string, error) { return p.Group, p.validate() }, group)
	if err == nil && name != postedPrefix(group)+p.Database {
		err = &DamageError{name, fmt.Sprintf("it was written for database %s", p.Database)}
	}
	return p, err
}

// standing says whether a snapshot counts, as far as its group goes.
type standing uint8

const (
	counts    standing = iota // it is of no group, or of one that is committed with it
	undecided                 // its group may still be committed
	dropped                   // its group is aborted, or committed with another in its place
)

// standing looks up what became of the group that a snapshot is part of.
func (c *Catalog) standing(ctx context.Context, e *entry) (standing, error) {
	if e.manifest == nil || e.manifest.Group == "" {
		return counts, nil
	}
	o, err := c.outcome(ctx, e.manifest.Group)
	if errors.Is(err, fs.ErrNotExist) {
		return undecided, nil
	}
	if err != nil {
		return undecided, err
	}
	if m, ok := o.member(c.database); ok && m.Slot == e.slot && m.Entry == e.digest {
		return counts, nil
	}
	return dropped, nil
}

// judged looks up the standing of an entry that was read. An entry whose group
// cannot be read is returned with the error.
func (c *Catalog) judged(ctx context.Context, e *entry, err error) (*entry, error) {
	if err == nil {
		e.standing, err = c.standing(ctx, e)
	}
	return e, err
}
