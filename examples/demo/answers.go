package main

import "fmt"

// The answers of rocksnap, as far as the demo reads them.

type created struct {
	URL string `json:"url"`
}

func (c *created) String() string { return "created " + c.URL }

type loaded struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

func (l *loaded) String() string {
	return count(l.Records, "record") + ", " + size(l.Bytes)
}

type content struct {
	Digest  string `json:"digest"`
	Records int64  `json:"records"`
}

func (c *content) String() string {
	return fmt.Sprintf("%.16s… of %s", c.Digest, count(c.Records, "record"))
}

type snapshot struct {
	ID          string  `json:"id"`
	Strategy    string  `json:"strategy"`
	Files       int     `json:"files"`
	BytesFull   int64   `json:"bytes_full"`
	BytesNew    int64   `json:"bytes_new"`
	BytesReused int64   `json:"bytes_reused"`
	PrepareMs   float64 `json:"prepare_ms"`
	TotalMs     float64 `json:"total_ms"`
}

func (s *snapshot) String() string {
	return fmt.Sprintf("%s: %s, %s new, %s reused", s.ID, count(int64(s.Files), "file"), size(s.BytesNew), size(s.BytesReused))
}

type verified struct {
	Snapshots int   `json:"snapshots"`
	Objects   int   `json:"objects"`
	Bytes     int64 `json:"bytes"`
}

func (v *verified) String() string {
	return fmt.Sprintf("%s, %s, %s read: no problem", count(int64(v.Snapshots), "snapshot"), count(int64(v.Objects), "object"), size(v.Bytes))
}

type restored struct {
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	TotalMs float64 `json:"total_ms"`
}

func (r *restored) String() string {
	return fmt.Sprintf("%s, %s, in %.0f ms", count(int64(r.Files), "file"), size(r.Bytes), r.TotalMs)
}

// count writes a number of things for people.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	n, units := float64(bytes)/(1<<10), []string{"KiB", "MiB", "GiB", "TiB"}
	for n >= 1<<10 && len(units) > 1 {
		n, units = n/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}
