package testkit

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"ocore.dev/audit/internal/httpapi"
)

//go:embed reference.yaml
var referenceYAML []byte

// checker holds answers against documents and fails the test that they don't fit.
type checker struct {
	tb        testing.TB
	ours      routers.Router
	reference routers.Router
}

// Times are of one width, which the document says in words: as a pattern, the clients of
// some generators hold their date objects against it.
const timeForm = `^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$`

var documents = sync.OnceValues(func() ([2]routers.Router, error) {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	openapi3.DefineStringFormatValidator("date-time", openapi3.NewRegexpFormatValidator(timeForm))
	ours, err := loadRouter(httpapi.Document())
	if err != nil {
		return [2]routers.Router{}, err
	}
	reference, err := loadRouter(referenceYAML)
	return [2]routers.Router{ours, reference}, err
})

func newChecker(tb testing.TB) *checker {
	tb.Helper()
	routers, err := documents()
	if err != nil {
		tb.Fatal(err)
	}
	return &checker{tb, routers[0], routers[1]}
}

func loadRouter(document []byte) (routers.Router, error) {
	spec, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	spec.Servers = openapi3.Servers{{URL: httpapi.BasePath}}
	return gorillamux.NewRouter(spec)
}

// checkingTransport passes calls on and checks what comes back. An answer that breaks
// off is passed on as it is: to a client it must look broken, not wrong.
type checkingTransport struct {
	checker *checker
	next    http.RoundTripper
}

func (c *checkingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenReader{err}))
		return response, nil //nolint:nilerr // the reader of the body meets it
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	c.checker.check(r, response, body)
	return response, nil
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func (c *checker) check(r *http.Request, response *http.Response, body []byte) {
	if response.Header.Get("X-Request-Id") == "" {
		c.tb.Errorf("%s %s: no X-Request-Id", r.Method, r.URL)
	}
	c.hold(c.ours, "openapi.yaml", r, response, body)
	// The reference shows JSON answers of success alone.
	if response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		c.hold(c.reference, "the reference", r, response, body)
	}
}

func (c *checker) hold(router routers.Router, document string, r *http.Request, response *http.Response, body []byte) {
	route, parameters, err := router.FindRoute(r)
	if errors.Is(err, routers.ErrPathNotFound) || errors.Is(err, routers.ErrMethodNotAllowed) {
		return // nothing is documented there
	}
	if err != nil {
		c.tb.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.WithoutCancel(r.Context()), input); err != nil {
		c.tb.Errorf("%s %s answers %d, which does not fit %s: %v\n%.500s", r.Method, r.URL, response.StatusCode, document, err, body)
	}
}
