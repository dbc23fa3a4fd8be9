package strategytest

import "github.com/rocksnap/rocksnap/host/internal/tap"

// Around puts something around the calls of the subject from now on.
func (s *Site) Around(around tap.Around) { s.around = around }

// Repository returns the repository's folder.
func (s *Site) Repository() string { return s.cfg.Repository.Dir() }
