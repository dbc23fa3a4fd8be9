package host

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
)

// lists answer whether objects are there, where a page of a list costs less than as
// many requests: 10,000 objects that one session has stored are 16 lists. They know
// no checksums; 'rocksnap verify' compares those.
type lists map[string]*list // by what the names of the objects begin with

// list is the objects of one session in one folder.
type list struct {
	wanted int // objects of it that are asked for
	last   int // the highest number of these; the session may have stored as many
	sizes  func() (map[string]int64, error)
}

const (
	objectFolders = 16 // over which the objects of a session are spread
	worthAPage    = 16 // requests that a page of a list must spare
)

// listsOf plans for objects by their names. A list is read when it is first needed.
func listsOf(ctx context.Context, store blob.Store, objects []string) lists {
	page := blob.PageSize(store)
	if page == 0 {
		return nil
	}
	all := make(lists)
	for _, object := range objects {
		prefix, number := splitObject(object)
		l := all[prefix]
		if l == nil {
			l = &list{sizes: sync.OnceValues(func() (map[string]int64, error) { return sizes(ctx, store, prefix) })}
			all[prefix] = l
		}
		l.wanted, l.last = l.wanted+1, max(l.last, number)
	}
	for prefix, l := range all {
		if pages := 1 + l.last/objectFolders/page; l.wanted < worthAPage*pages {
			delete(all, prefix)
		}
	}
	return all
}

// splitObject splits the name of an object before the number that its session has
// given it.
func splitObject(name string) (prefix string, number int) {
	at := strings.LastIndexByte(name, '-') + 1
	number, _ = strconv.Atoi(name[at:])
	return name[:at], number
}

func sizes(ctx context.Context, store blob.Store, prefix string) (map[string]int64, error) {
	found := make(map[string]int64)
	for info, err := range store.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		found[info.Name] = info.Size
	}
	return found, nil
}

// inspect is [Repository.inspect] for an object that is in one of the lists.
func (l lists) inspect(f *File) (what string, listed bool, err error) {
	prefix, _ := splitObject(f.Object)
	group := l[prefix]
	if group == nil {
		return "", false, nil
	}
	sizes, err := group.sizes()
	if err != nil {
		return "", true, err
	}
	size, there := sizes[f.Object]
	if !there {
		return isMissing, true, nil
	}
	return wrongSize(f, size), true, nil
}

// listBase plans how to find out which objects of the base are still there.
func (s *session) listBase() {
	if s.capture == nil {
		return
	}
	var objects []string
	for i := range s.capture.files {
		f := &s.capture.files[i]
		if base := s.shared[f.entry.Identity]; f.record.Flags&abi.FileInBase != 0 && base.Segment == nil {
			objects = append(objects, base.Object)
		}
	}
	s.inspections.lists = listsOf(s.transfers.ctx, s.host.store, objects)
}
