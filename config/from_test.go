package config

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFrom(t *testing.T) {
	c, err := Parse("/etc/rocksnap.toml", []byte(`version = 1
database.path = "db"
repository = { url = "s3://bucket/prefix", endpoint = "https://s3.example.com" }
snapshot.strategy = "canonical"
`), nil)
	require.NoError(t, err)
	here, err := filepath.Abs("moved")
	require.NoError(t, err)
	folder, err := c.From("file:moved", "--from")
	require.NoError(t, err)
	assert.Equal(t, here, folder.Repository.Dir(), "of the working directory")
	assert.Empty(t, folder.Repository.Endpoint)
	bucket, err := c.From("s3://other/a/b/", "--from")
	require.NoError(t, err)
	assert.Equal(t, "s3://other/a/b", bucket.Repository.URL)
	assert.Equal(t, "https://s3.example.com", bucket.Repository.Endpoint)
	assert.Equal(t, "s3://bucket/prefix", c.Repository.URL)
	for _, url := range []string{"moved", "file:", "http://host/x", "s3://B"} {
		_, err := c.From(url, "--from")
		require.Error(t, err, url)
		assert.Contains(t, err.Error(), "--from")
	}
}
