package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// at reads the smallest file with a repository at a URL.
func at(url string) (*Config, error) {
	text := "version = 1\ndatabase.path = \"db\"\nrepository.url = \"" + url + "\"\nsnapshot.strategy = \"incremental\"\n"
	return Parse("/d/rocksnap.toml", []byte(text), nil)
}

func TestS3(t *testing.T) {
	for url, want := range map[string]struct{ url, bucket, prefix string }{
		"s3://acme":                {"s3://acme", "acme", ""},
		"s3://acme/":               {"s3://acme", "acme", ""},
		"s3://acme//":              {"s3://acme", "acme", ""},
		"s3://acme.eu-1/a":         {"s3://acme.eu-1/a", "acme.eu-1", "a"},
		"s3://acme//a///b.c_d-E9/": {"s3://acme/a/b.c_d-E9", "acme", "a/b.c_d-E9"},
		"s3://123":                 {"s3://123", "123", ""},
	} {
		c, err := at(url)
		require.NoError(t, err, url)
		bucket, prefix, ok := c.Repository.S3()
		assert.True(t, ok, url)
		assert.Equal(t, want.bucket, bucket, url)
		assert.Equal(t, want.prefix, prefix, url)
		assert.Equal(t, want.url, c.Repository.URL)
		assert.Empty(t, c.Repository.Dir(), url)
	}
	c, err := at("file:repo")
	require.NoError(t, err)
	_, _, ok := c.Repository.S3()
	assert.False(t, ok)
}

func TestBucketRefused(t *testing.T) {
	for _, bucket := range []string{
		"", "ab", "Acme", "a_b", "-acme", "acme-", ".acme", "acme.", "a..b", "10.0.0.1", "acme:9000", "é-acme",
		strings.Repeat("x", 64), "arn:aws:s3:::acme",
	} {
		_, err := at("s3://" + bucket + "/orders")
		assert.ErrorContains(t, err, "bucket", bucket)
	}
}

// A prefix is accepted exactly when the names of objects may start with it.
func TestPrefixIsOfNames(t *testing.T) {
	for _, prefix := range []string{
		"a", "a/b", "A.b_c-9", ".a", "a/.b", "a/..", "..", "a b", "a+b", "a%20b", "ä", "a\\\\b", "-", "_", "a.",
		strings.Repeat("x", blob.MaxElement), strings.Repeat("x", blob.MaxElement+1),
		strings.Repeat("x/", 255) + "x", strings.Repeat("x/", 256) + "x",
	} {
		_, err := at("s3://acme/" + prefix)
		want := blob.CheckName(strings.ReplaceAll(prefix, "\\\\", "\\"))
		assert.Equal(t, want == nil, err == nil, "%s: %v, %v", prefix, err, want)
	}
	assert.Equal(t, 1024, maxPrefix+len("/")+blob.MaxName)
}

func TestTransferDefaults(t *testing.T) {
	for workers, requests := range map[string]int{"1": 8, "2": 8, "3": 12, "4": 16, "64": 256, "256": 256} {
		text := minimal("[repository.transfer]\nrate_limit = \"1MiB/s\"\nupload_limit = \"5KB/s\"")
		c, err := Parse("rocksnap.toml", text, []string{"ROCKSNAP_REPOSITORY_URL=s3://acme", "ROCKSNAP_REPOSITORY_TRANSFER_WORKERS=" + workers})
		require.NoError(t, err)
		got := c.Repository.Transfer
		assert.Equal(t, requests, got.Requests, workers)
		assert.Equal(t, Size(128<<20), got.Memory)
		assert.Equal(t, Rate(5000), got.UploadLimit)
		assert.Equal(t, Rate(1<<20), got.DownloadLimit)
	}
}

func TestRetentionEmpty(t *testing.T) {
	assert.True(t, Retention{}.Empty())
	assert.True(t, Retention{Grace: Duration(time.Hour)}.Empty())
	for _, r := range []Retention{
		{KeepLast: 1}, {KeepHourly: 1}, {KeepDaily: 1}, {KeepWeekly: 1}, {KeepMonthly: 1}, {KeepYearly: 1},
		{KeepWithin: 1}, {KeepLabel: []string{"release"}},
	} {
		assert.False(t, r.Empty(), r)
	}
}
