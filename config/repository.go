package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// Repository says where snapshots are kept.
type Repository struct {
	URL        string // "file:" and an absolute folder, or "s3://" and a bucket with a prefix
	Name       string // of the database within the repository; its folder's name unless given
	Endpoint   string // s3 only: http or https URL of the server; that of AWS unless given
	Region     string // s3 only; the client finds one unless given
	PathStyle  bool   // s3 only: whether the bucket goes into the path and not into the host
	CAFile     string // s3 only: certificates to trust besides those of the system
	Transfer   Transfer
	Encryption Encryption
	Pack       *Pack // nil when each file has an object to itself
}

const (
	fileScheme = "file:"
	s3Scheme   = "s3://"
)

// Dir returns the folder of a repository whose URL starts with "file:", and ""
// for any other. What follows the colon is taken literally: there are no
// percent escapes.
func (r Repository) Dir() string {
	path, ok := strings.CutPrefix(r.URL, fileScheme)
	if !ok {
		return ""
	}
	if local, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(local, "/") {
			return "" // names a host
		}
		return local
	}
	return path
}

// S3 returns the bucket and the prefix of a repository whose URL starts with
// "s3://". The prefix may be empty; it neither starts nor ends with a slash and
// has none twice in a row.
func (r Repository) S3() (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL, s3Scheme)
	bucket, prefix, _ = strings.Cut(rest, "/")
	elements := strings.FieldsFunc(prefix, func(c rune) bool { return c == '/' })
	return bucket, strings.Join(elements, "/"), ok
}

func (l *loader) checkRepository() {
	r := l.config.Repository
	l.checkURL(r.URL)
	name := dotted("repository.name")
	switch {
	case validName.MatchString(r.Name):
	case l.given(name):
		l.wrong(name, "", "%s, not %q", nameRule, r.Name)
	case l.config.Database.Path != "":
		l.wrong(name, missingHint(name, `name = "orders"`), "missing, and the folder of the database, %q, cannot stand in: a name %s", r.Name, nameRule)
	}
	if _, _, ok := r.S3(); ok {
		l.checkServer(r)
	}
	if r.Dir() != "" {
		l.refuseServer(r)
	}
}

// refuseServer reports the keys that mean nothing to a folder.
func (l *loader) refuseServer(r Repository) {
	for key, used := range map[string]bool{
		"endpoint": r.Endpoint != "", "region": r.Region != "", "path_style": r.PathStyle, "ca_file": r.CAFile != "",
		"transfer.requests": r.Transfer.Requests != 0, "transfer.memory": r.Transfer.Memory != 0,
	} {
		if used {
			l.wrong(append(toml.Key{"repository"}, dotted(key)...), "", "makes sense for an s3:// repository only")
		}
	}
}

func (l *loader) checkURL(text string) {
	key := dotted("repository.url")
	switch {
	case strings.HasPrefix(text, fileScheme):
		l.checkFolder(key, text)
	case !l.isPlain(key, text):
	case strings.HasPrefix(text, s3Scheme):
		l.checkBucket(key)
	case len(text) > 3 && strings.EqualFold(text[:3], "s3:"):
		l.wrong(key, didYouMean(fmt.Sprintf("%q", s3Scheme+strings.TrimLeft(text[3:], "/"))), "must start with s3://, not %q", text)
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		l.wrong(key, `name the bucket here, as in "s3://bucket/prefix", and the server with endpoint`, "must start with file: or s3://, not %q", text)
	case strings.Contains(text, "://"):
		l.wrong(key, "", "must start with file: or s3://, not %q", text)
	default:
		l.wrong(key, didYouMean(fmt.Sprintf("%q", fileScheme+text)), "must start with file: or s3://, not %q", text)
	}
}

func (l *loader) checkFolder(key toml.Key, text string) {
	path := strings.TrimPrefix(text, fileScheme)
	switch {
	case path == "" || path == "//":
		l.wrong(key, "", "must name a folder after file:")
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
		l.wrong(key, didYouMean(fmt.Sprintf("%q or %q", "file:///"+path[2:], "file:"+path[2:])), "must not name a host: %q", text)
	}
}

// isPlain reports whether a URL is free of the parts that could hold a secret,
// and refuses it without repeating it otherwise.
func (l *loader) isPlain(key toml.Key, text string) bool {
	if strings.ContainsAny(text, "@?#") {
		l.wrong(key, fromAWS, `must not contain "@", "?" or "#": names, passwords and options do not belong in it`)
		return false
	}
	return true
}

var (
	validBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	validPrefix = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/|$))*$`)
)

// maxPrefix leaves room in a key of S3, 1024 bytes, for the longest name that an
// object may have, 512 bytes, and a slash.
const maxPrefix = 511

// checkBucket applies Amazon's rules for the names of buckets, and to the prefix
// those of package blob for the names of objects.
func (l *loader) checkBucket(key toml.Key) {
	bucket, prefix, _ := l.config.Repository.S3()
	_, addressErr := netip.ParseAddr(bucket)
	switch lower := strings.ToLower(bucket); {
	case bucket == "":
		l.wrong(key, "", "must name a bucket after s3://")
	case !validBucket.MatchString(bucket) && validBucket.MatchString(lower):
		l.wrong(key, didYouMean(fmt.Sprintf("%q", strings.Replace(l.config.Repository.URL, bucket, lower, 1))), "the bucket must be in lower case, not %q", bucket)
	case !validBucket.MatchString(bucket), strings.Contains(bucket, ".."), addressErr == nil:
		l.wrong(key, "", `the bucket must be 3 to 63 of a-z, 0-9, "-" and single ".", starting and ending with a letter or digit, and no IP address, not %q`, bucket)
	case len(prefix) > maxPrefix:
		l.wrong(key, "", "the prefix must be at most %d bytes long, not %d", maxPrefix, len(prefix))
	case !validPrefix.MatchString(prefix):
		l.wrong(key, "", `the prefix must be of a-z, A-Z, 0-9, ".", "_" and "-", its parts at most 200 long and none starting with ".", not %q`, prefix)
	}
}

// A region becomes part of a host's name.
var validRegion = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// checkServer checks how the server of a bucket is reached.
func (l *loader) checkServer(r Repository) {
	if r.Endpoint != "" {
		l.checkEndpoint(r.Endpoint)
	}
	if r.Region != "" && !validRegion.MatchString(r.Region) {
		l.wrong(dotted("repository.region"), "", `must be the name of a region such as "eu-west-1", not %q`, r.Region)
	}
	if r.CAFile != "" {
		if err := findFile(r.CAFile); err != nil {
			l.wrong(dotted("repository.ca_file"), "", "%s: %v", r.CAFile, err)
		}
	}
}

func (l *loader) checkEndpoint(text string) {
	key := dotted("repository.endpoint")
	if !l.isPlain(key, text) {
		return
	}
	u, err := url.Parse(text)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return
	}
	hint := ""
	if !strings.Contains(text, "://") {
		hint = didYouMean(fmt.Sprintf("%q", "https://"+text))
	}
	l.wrong(key, hint, "must be a URL that starts with http:// or https:// and names a host, not %q", text)
}

// findFile fails, without naming the file, unless there is one.
func findFile(path string) error {
	info, err := os.Stat(path)
	var pathErr *fs.PathError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case err == nil && info.IsDir():
		return syscall.EISDIR
	}
	return err
}
