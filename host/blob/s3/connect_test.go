package s3_test

import (
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

func TestParseURL(t *testing.T) {
	for _, test := range []struct{ url, bucket, prefix, err string }{
		{"s3://bucket", "bucket", "", ""},
		{"s3://bucket/", "bucket", "", ""},
		{"s3://my-bucket.7/a", "my-bucket.7", "a", ""},
		{"s3://bucket/a/b/", "bucket", "a/b", ""},
		{"file:bucket", "", "", "it does not begin with s3://"},
		{"s3://", "", "", "no bucket is named"},
		{"s3:///a", "", "", "no bucket is named"},
		{"s3://key:secret@bucket/a", "", "", "a bucket is named by letters, digits, dots and dashes"},
		{"s3://bucket?region=x", "", "", "a bucket is named by letters, digits, dots and dashes"},
		{"s3://bucket//a", "", "", "empty element"},
		{"s3://bucket/../a", "", "", "element begins with a dot"},
		{"s3://bucket/" + strings.Repeat("abc/", 130), "", "", "the prefix is longer than 500 bytes"},
	} {
		bucket, prefix, err := s3.ParseURL(test.url)
		assert.Equal(t, test.bucket, bucket, test.url)
		assert.Equal(t, test.prefix, prefix, test.url)
		if test.err == "" {
			assert.NoError(t, err)
			continue
		}
		assert.ErrorContains(t, err, test.err)
	}
}

// TestOpenSaysWhatIsWrong: the usual mistakes, each in one line and soon.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	server := storetest.Versity(t)
	file := filepath.Join(t.TempDir(), "no.pem")
	require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	for _, test := range []struct {
		name string
		set  func(*s3.Options)
		env  [2]string
		is   error
		text string
	}{
		{"bucket", func(o *s3.Options) { o.Bucket, o.Prefix = "absent", "p" }, [2]string{}, s3.ErrNoBucket, "open s3://absent/p: no such bucket: absent"},
		{"no bucket", func(o *s3.Options) { o.Bucket = "" }, [2]string{}, nil, "no bucket is named"},
		{"prefix", func(o *s3.Options) { o.Prefix = "a//b" }, [2]string{}, blob.ErrName, "empty element"},
		{"access key", nil, [2]string{"AWS_ACCESS_KEY_ID", "other"}, nil, "No user exists with the provided access key ID. (HTTP 404 "},
		{"secret key", nil, [2]string{"AWS_SECRET_ACCESS_KEY", "other"}, fs.ErrPermission, "secret key or region is wrong: "},
		{"no credentials", nil, [2]string{"AWS_ACCESS_KEY_ID", ""}, nil, "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"},
		{"profile", nil, [2]string{"AWS_PROFILE", "absent"}, nil, "absent"},
		{"region", func(o *s3.Options) { o.Region = "mars-1" }, [2]string{}, nil, "bucket bucket-1 is not in region mars-1: "},
		{"nobody there", func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:9" }, [2]string{}, nil, "endpoint http://127.0.0.1:9 cannot be reached: dial tcp 127.0.0.1:9: connect: connection refused"},
		{"no such host", func(o *s3.Options) { o.Endpoint = "http://host.invalid" }, [2]string{}, nil, "endpoint http://host.invalid cannot be reached: dial tcp: lookup host.invalid"},
		{"no certificates", func(o *s3.Options) { o.CAFile = file }, [2]string{}, nil, "has no certificate in PEM"},
		{"no certificate file", func(o *s3.Options) { o.CAFile = file + "x" }, [2]string{}, fs.ErrNotExist, "read certificates: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			server.Env(t)
			if test.env[0] != "" {
				t.Setenv(test.env[0], test.env[1])
			}
			o := server.Options()
			if test.set != nil {
				test.set(&o)
			}
			began := time.Now()
			_, err := s3.Open(t.Context(), o)
			require.ErrorContains(t, err, test.text)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
}

// TestUnreachable: what was never sent has a known outcome.
func TestUnreachable(t *testing.T) {
	s, p, _ := behind(t)
	p.Close()
	_, err := s.Stat(t.Context(), "a") // uses up the connections that there were
	require.Error(t, err)
	err = put(t.Context(), s, "a", "x")
	require.ErrorContains(t, err, "connection refused")
	require.NotErrorIs(t, err, blob.ErrUnknownOutcome)
}

// TestRefusals puts each refusal into words.
func TestRefusals(t *testing.T) {
	s, p, _ := behind(t)
	for _, test := range []struct {
		status int
		code   string
		is     error
		text   string
	}{
		{403, "AccessDenied", fs.ErrPermission, "access to bucket bucket-1 is denied: as planned (HTTP 403 AccessDenied)"},
		{403, "InvalidAccessKeyId", fs.ErrPermission, "access key is unknown: as planned (HTTP 403 InvalidAccessKeyId)"},
		{403, "RequestTimeTooSkewed", nil, "the clock of this machine is wrong: as planned (HTTP 403 RequestTimeTooSkewed)"},
		{301, "PermanentRedirect", nil, "bucket bucket-1 is not in region us-east-1: as planned (HTTP 301 PermanentRedirect)"},
		{404, "NoSuchBucket", s3.ErrNoBucket, "no such bucket: bucket-1"},
		{507, "InternalError", nil, "create a: as planned (HTTP 507 InternalError)"},
	} {
		p.do(always(refuse(test.status, test.code), "put"))
		err := put(t.Context(), s, "a", "x")
		require.ErrorContains(t, err, test.text)
		if test.is != nil {
			require.ErrorIs(t, err, test.is)
		}
	}
}

// TestTLS: bodies go as they are, and only a server that is trusted gets any.
func TestTLS(t *testing.T) {
	server := storetest.Versity(t)
	server.Env(t)
	p := newProxy(t, server)
	p.StartTLS()
	o := server.Options()
	o.Endpoint, o.PartSize = p.URL, partSize
	_, err := s3.Open(t.Context(), o)
	require.ErrorContains(t, err, "certificate")
	require.Empty(t, p.ops())

	o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	require.NoError(t, os.WriteFile(o.CAFile, certificate, 0o600))
	s := open(t, o)
	require.NoError(t, put(t.Context(), s, "small", "content"))
	requirePayload(t, p.onlyOne(t, "put"), len("content"))
	large := random(1, 2*partSize)
	require.NoError(t, put(t.Context(), s, "large", large))
	for _, r := range p.seen {
		if r.op == "part" {
			requirePayload(t, r, partSize)
		}
	}
	requireContent(t, s, "large", large)
}

// TestSignedPayload: where others can listen and nothing else protects it, the
// body is signed.
func TestSignedPayload(t *testing.T) {
	for endpoint, private := range map[string]bool{
		"": true, "https://s3.example.com": true, "http://localhost:9000": true, "http://127.0.0.1:1": true, "http://[::1]:1": true,
		"http://s3.example.com": false, "http://10.0.0.1:9000": false, "http://localhost.example.com": false, "::": false,
	} {
		assert.Equal(t, private, s3.Private(endpoint), endpoint)
	}
}
