package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

const defaultRegion = "us-east-1" // what most servers that are not AWS call themselves

// connect makes a client that sends each request once and just as it is told:
// retries and checksums are ours.
func connect(ctx context.Context, o Options) (*s3.Client, error) {
	transport, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(o.Region), config.WithDefaultRegion(defaultRegion),
		config.WithHTTPClient(transport), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, noCredentials(ctx, err)
	}
	return s3.NewFromConfig(cfg, func(c *s3.Options) {
		if o.Endpoint != "" {
			c.BaseEndpoint = &o.Endpoint
		}
		c.UsePathStyle = o.PathStyle
		c.Retryer = aws.NopRetryer{}
		// Checksums of the SDK travel as trailers of a chunked body, which many
		// servers refuse.
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		c.DisableLogOutputChecksumValidationSkipped = true
	}), nil
}

func noCredentials(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for one of ~/.aws, or run where a role is given (%w)", err)
}

// newTransport returns the HTTP client. It keeps a connection for every request
// that may run, and speaks HTTP/1.1: one connection that all share is slower.
func newTransport(o Options) (*awshttp.BuildableClient, error) {
	roots, err := loadRoots(o.CAFile)
	if err != nil {
		return nil, err
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = o.Requests, o.Requests
		t.ForceAttemptHTTP2 = false
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		t.TLSClientConfig.RootCAs = roots
		t.WriteBufferSize, t.ReadBufferSize = 128<<10, 128<<10
	}), nil
}

// loadRoots adds the certificates of a file to those of the system; nil means
// just those of the system.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read certificates of the system: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return roots, nil
}

// payloadOptions spare the SHA-256 of the payload, which would take most of the
// processor time, where nobody on the way can change it: over TLS and within the
// machine. Its CRC32C is in a header, and that is signed.
func payloadOptions(client *s3.Client) []func(*s3.Options) {
	if !private(aws.ToString(client.Options().BaseEndpoint)) {
		return nil
	}
	return []func(*s3.Options){s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)}
}

// private reports that nobody can listen on the way to an endpoint; AWS's own,
// which has no URL here, is reached over TLS.
func private(endpoint string) bool {
	at, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := at.Hostname()
	return endpoint == "" || at.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback()
}
