package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Codes of errors, from the S3 API reference ("Error responses").
const (
	codeConflict  = "ConditionalRequestConflict"
	codeAborted   = "OperationAborted"
	codeTimeout   = "RequestTimeout"
	codeSlowDown  = "SlowDown"
	codeNoBucket  = "NoSuchBucket"
	codeNoKey     = "NoSuchKey"
	codeNoUpload  = "NoSuchUpload"
	codeBadPart   = "InvalidPart"
	codeNotFound  = "NotFound" // the SDK's, for an answer without a body
	codeNoMD5     = "MissingContentMD5"
	codeInvalid   = "InvalidRequest"
	codeBadHeader = "AuthorizationHeaderMalformed"
	codeSignature = "SignatureDoesNotMatch"
	codeAccessKey = "InvalidAccessKeyId"
	codeSkewed    = "RequestTimeTooSkewed"
)

// answer returns the status and the code of the server's answer; status 0 means
// that there was none.
func answer(err error) (status int, code string) {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.Response.Response != nil {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	return status, code
}

// passing reports that a request may succeed when it is sent again.
func passing(err error) bool {
	status, code := answer(err)
	switch {
	case errors.Is(err, errRange):
		return false
	case status == 0:
		var certificate *tls.CertificateVerificationError
		return !errors.As(err, &certificate)
	case final(status):
		return false
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return true
	case status < 400: // an answer that was good, but ended too soon
		return status < 300
	}
	return code == codeConflict || code == codeAborted || code == codeTimeout
}

// interrupted reports that the server, rather than the caller's reader, failed,
// and in a way that passes.
func interrupted(err error) bool {
	var operation *smithy.OperationError
	return (errors.As(err, &operation) || errors.Is(err, errNoAnswer)) && passing(err)
}

// slow reports that the server wants fewer requests.
func slow(err error) bool {
	status, code := answer(err)
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || code == codeSlowDown
}

// unanswered reports that a request which was sent may have been done.
func unanswered(err error) bool {
	status, code := answer(err)
	return status < 300 || status >= 500 && code != codeSlowDown && !final(status)
}

// cutOff reports that the connection broke while a request was sent. So it does when
// a server refuses without reading, and hangs up: its answer is lost on the way.
func cutOff(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// final reports that a status which looks like a fault is a refusal.
func final(status int) bool {
	return status == http.StatusNotImplemented || status == http.StatusInsufficientStorage
}

// taken reports that the name of a conditional write was not free.
func taken(err error) bool {
	status, _ := answer(err)
	return status == http.StatusPreconditionFailed
}

// absent reports that there is no such object.
func absent(err error) bool {
	status, code := answer(err)
	return code == codeNoKey || code == codeNotFound || status == http.StatusNotFound && code == ""
}

// beyond reports that a range begins behind the last byte.
func beyond(err error) bool {
	status, _ := answer(err)
	return status == http.StatusRequestedRangeNotSatisfiable
}

// unknownRequest reports that a server does not know DeleteObjects as it is sent
// today.
func unknownRequest(err error) bool {
	status, code := answer(err)
	return status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed || code == codeNoMD5 || code == codeInvalid
}

// isCode reports that the server gave one of some codes.
func isCode(err error, codes ...string) bool {
	_, got := answer(err)
	for _, code := range codes {
		if got == code {
			return true
		}
	}
	return false
}

// explain says in the operator's words, and in one line, what a request came to.
// Errors that are not the SDK's pass.
func (s *Store) explain(err error) error {
	status, code := answer(err)
	var transport *url.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled) || errors.Is(err, blob.ErrUnknownOutcome):
		return err
	case absent(err):
		return fs.ErrNotExist
	case code == codeNoBucket:
		return fmt.Errorf("%w: %s", ErrNoBucket, *s.bucket)
	case status != 0:
		return s.refusal(status, code, err)
	case errors.As(err, &transport):
		return fmt.Errorf("endpoint %s cannot be reached: %w", transport.URL[:originEnd(transport.URL)], transport.Err)
	}
	return err
}

// originEnd returns where the path of a URL begins.
func originEnd(text string) int {
	at, err := url.Parse(text)
	if err != nil {
		return len(text)
	}
	return len(at.Scheme) + len("://") + len(at.Host)
}

// refusal puts the server's reason into a line, with what usually is behind it.
func (s *Store) refusal(status int, code string, err error) error {
	reason := http.StatusText(status)
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		reason = api.ErrorMessage()
	}
	text := fmt.Sprintf("%s (HTTP %d %s)", reason, status, code)
	switch {
	case code == codeBadHeader, status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect:
		return fmt.Errorf("bucket %s is not in region %s: %s", *s.bucket, s.client.Options().Region, text)
	case code == codeSignature:
		return fmt.Errorf("secret key or region is wrong: %s: %w", text, fs.ErrPermission)
	case code == codeAccessKey:
		return fmt.Errorf("access key is unknown: %s: %w", text, fs.ErrPermission)
	case code == codeSkewed:
		return fmt.Errorf("the clock of this machine is wrong: %s", text)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fmt.Errorf("access to bucket %s is denied: %s: %w", *s.bucket, text, fs.ErrPermission)
	}
	return errors.New(text)
}
