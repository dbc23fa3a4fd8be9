package config

import (
	"path/filepath"
	"strings"
)

// From returns the configuration with another repository, whose URL is as in the
// file but that a relative folder is one of the working directory. Where it is in
// an S3 store, the settings of the server stay. origin says where the URL was
// given. It fails with [Errors].
func (c *Config) From(url, origin string) (*Config, error) {
	other := *c
	r := &other.Repository
	r.URL = url
	l := &loader{config: &other, file: origin, bad: make(map[string]bool)}
	l.checkURL(url)
	if len(l.problems) > 0 {
		for _, p := range l.problems {
			p.Line, p.Column = 0, 0 // it is in no file
		}
		return nil, l.problems
	}
	if bucket, prefix, ok := r.S3(); ok {
		r.URL = strings.TrimSuffix(s3Scheme+bucket+"/"+prefix, "/")
		l.completeTransfer()
		return &other, nil
	}
	folder, err := filepath.Abs(r.Dir())
	if err != nil {
		return nil, Errors{{File: origin, Message: err.Error(), Err: err}}
	}
	r.URL = fileScheme + folder
	r.Endpoint, r.Region, r.PathStyle, r.CAFile, r.Transfer.Requests, r.Transfer.Memory = "", "", false, "", 0, 0
	return &other, nil
}
