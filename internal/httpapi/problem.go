package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"ocore.dev/audit/internal/audit"
)

// Failures of HTTP alone; the domain knows none of them.
var (
	errNoSuchPath       = errors.New("no such path")
	errMethodNotAllowed = errors.New("method not allowed")
	errMediaType        = errors.New("unsupported media type")
	errHTTPVersion      = errors.New("HTTP version not supported")
	errNoSigningKey     = errors.New("no signing key")
	errLimited          = errors.New("too many requests")
)

// problemTypes is the URL under which each type of problem is explained.
const problemTypes = "https://docs.ocore.dev/audit/problems/"

// kind is how one kind of error is answered. An empty detail is told only by the error
// itself, so that nothing unknown reveals anything.
type kind struct {
	err    error
	status int
	slug   string
	title  string
	detail string
}

// statusGone is of callers that went away.
const statusGone = 499

// kinds is the one table from errors to answers; the first match counts.
var kinds = []kind{
	{context.Canceled, statusGone, "internal", "Internal error", "the caller went away"}, // for the log alone, as proxies write it
	{audit.ErrUnauthenticated, 401, "unauthorized", "Unauthorized", "send `Authorization: Bearer <token>`"},
	{audit.ErrForbidden, 403, "forbidden", "Forbidden", "the token does not allow this"},
	{errNoSuchPath, 404, "not-found", "Not found", "there is nothing at this path"},
	{audit.ErrNotFound, 404, "not-found", "Not found", "there is no such entry"},
	{errMethodNotAllowed, 405, "method-not-allowed", "Method not allowed", "the Allow header names what this path takes"},
	{audit.ErrConflict, 409, "conflict", "Conflict", "this id is another entry's"},
	{audit.ErrTooLarge, 413, "content-too-large", "Content too large", "a body has at most 8 MiB, decompressed"},
	{errMediaType, 415, "unsupported-media-type", "Unsupported media type", "send application/json, plain or with Content-Encoding: gzip"},
	{audit.ErrUnprocessable, 422, "unprocessable-content", "Unprocessable content", "errors lists what to mend"},
	{audit.ErrMalformed, 400, "bad-request", "Bad request", "errors lists what to mend"},
	{errLimited, 429, "too-many-requests", "Too many requests", "wait as long as Retry-After says"},
	{errHTTPVersion, 505, "http-version-not-supported", "HTTP version not supported", "an export needs HTTP/1.1 or later, because over HTTP/1.0 a cut export looks whole; a proxy in between may need to be told (nginx: proxy_http_version 1.1)"},
	{audit.ErrNotReady, 503, "unavailable", "Unavailable", "requests can't be served yet, or not just now; nothing was stored"},
	{audit.ErrOverloaded, 503, "unavailable", "Unavailable", "the service is overloaded; nothing was stored, try again shortly"},
	{errNoSigningKey, 503, "unavailable", "Unavailable", "this service signs nothing, so nothing can be proved; its operators can give it a signing key"},
	{audit.ErrUnsigned, 503, "unavailable", "Unavailable", "no signed checkpoint covers this yet; try again in a second, and if that goes on tell the service's operators"},
	{audit.ErrAltered, 500, "altered", "Altered", "what is stored is not what was signed, so there is no proof of it; keep this answer, and let whoever runs the service look with `ocore-audit verify trail --deep`; asking changed nothing"},
	{audit.ErrUnavailable, 503, "unavailable", "Unavailable", "the database can't be used just now; the outcome of a write is unknown, so send it again with the same ids"},
}

var internalError = kind{nil, 500, "internal", "Internal error", "something broke on our side; the request id finds it in our logs"}

func kindOf(err error) kind {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k
		}
	}
	return internalError
}

// problem is an RFC 9457 document.
type problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail,omitempty"`
	RequestID string  `json:"requestId"`
	Parameter string  `json:"parameter,omitempty"`
	ID        string  `json:"id,omitempty"`
	Position  *int64  `json:"position,omitempty"`
	Errors    []fault `json:"errors,omitempty"`
}

type fault struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// newProblem shows of an error what its Rejection or Alteration lets be shown, and nothing of others.
func newProblem(err error, requestID string) problem {
	k := kindOf(err)
	p := problem{Type: problemTypes + k.slug, Title: k.title, Status: k.status, Detail: k.detail, RequestID: requestID}
	var a *audit.Alteration
	if errors.Is(k.err, audit.ErrAltered) && errors.As(err, &a) {
		if p.Detail = a.Text() + "; " + k.detail; a.Position >= 0 {
			p.Position = &a.Position
		}
		return p
	}
	var r *audit.Rejection
	if k.status >= 500 || !errors.As(err, &r) {
		return p
	}
	if r.Detail != "" {
		p.Detail = r.Detail
	}
	p.Parameter, p.ID = r.Parameter, r.ID
	for _, f := range r.Faults[:min(len(r.Faults), audit.MaxFaults)] {
		p.Errors = append(p.Errors, fault{audit.ShortPointer(f.Pointer), f.Detail})
	}
	return p
}

// writeProblem answers with a problem document and notes the error for the request's
// log line. It must not be called once an answer has begun.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	call := callOf(r.Context())
	call.failure = err
	p := newProblem(err, call.requestID)
	if p.Status == statusGone {
		leave(w)
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // it says <token>, and nosniff keeps it from being read as HTML
	_ = encoder.Encode(p)        // strings and numbers alone
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	switch p.Status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", challenge(r))
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
}

// leave cuts the connection instead of answering. A caller that seems to have gone may only
// have closed its own side: a 4xx would tell it that nothing was stored, and nobody knows.
func leave(w http.ResponseWriter) {
	for {
		if recorder, found := w.(*statusRecorder); found {
			recorder.status = statusGone
			panic(http.ErrAbortHandler)
		}
		wrapped, more := w.(interface{ Unwrap() http.ResponseWriter })
		if !more {
			panic(http.ErrAbortHandler)
		}
		w = wrapped.Unwrap()
	}
}

// challenge is RFC 6750, section 3: an error only where a token was sent.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return `Bearer realm="ocore-audit"`
	}
	return `Bearer realm="ocore-audit", error="invalid_token"`
}

// handleEchoError is Echo's HTTPErrorHandler. An answer that has begun can't become a
// problem any more: the connection is cut, so that it never looks complete.
func handleEchoError(err error, c echo.Context) {
	if c.Response().Committed {
		callOf(c.Request().Context()).failure = err
		panic(http.ErrAbortHandler)
	}
	writeProblem(c.Response(), c.Request(), fromEcho(err))
}

// fromEcho turns what Echo and the generated binder say into errors of ours; their own
// words are for logs alone.
func fromEcho(err error) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	switch he.Code {
	case http.StatusNotFound:
		return errNoSuchPath
	case http.StatusMethodNotAllowed:
		return errMethodNotAllowed
	case http.StatusBadRequest:
		return &audit.Rejection{Kind: audit.ErrMalformed, Detail: "the request does not fit the document at /openapi.yaml"}
	}
	return err
}

// logLevel follows blame: the caller's faults are no concern of the operator's.
func logLevel(status int) slog.Level {
	if status >= 500 {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func join(parts []string) string { return strings.Join(parts, ", ") }
