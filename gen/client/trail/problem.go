package trail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ocore.dev/audit/gen/client"
)

// Kinds of problems, for [errors.Is]. A [*Problem] is the one of its status.
var (
	ErrBadRequest      = errors.New("bad request")           // 400: the request breaks the document's schema
	ErrUnauthorized    = errors.New("unauthorized")          // 401: no token, or one that isn't trusted
	ErrForbidden       = errors.New("forbidden")             // 403: a permission or the organization is missing
	ErrNotFound        = errors.New("not found")             // 404: the organization has no such entry
	ErrConflict        = errors.New("conflict")              // 409: the id is stored with other content; nothing was stored
	ErrContentTooLarge = errors.New("content too large")     // 413: the body is over 8 MiB
	ErrUnprocessable   = errors.New("unprocessable content") // 422: the body breaks a rule beyond the schema
	ErrTooManyRequests = errors.New("too many requests")     // 429: nothing was stored
	ErrInternal        = errors.New("internal error")        // 500: whether a write was stored is unknown
	ErrAltered         = errors.New("altered")               // 500 too: what is stored is not what was signed; asking again doesn't help
	ErrUnavailable     = errors.New("unavailable")           // 503: whether a write was stored is unknown
)

var kinds = map[int]error{
	http.StatusBadRequest:            ErrBadRequest,
	http.StatusUnauthorized:          ErrUnauthorized,
	http.StatusForbidden:             ErrForbidden,
	http.StatusNotFound:              ErrNotFound,
	http.StatusConflict:              ErrConflict,
	http.StatusRequestEntityTooLarge: ErrContentTooLarge,
	http.StatusUnprocessableEntity:   ErrUnprocessable,
	http.StatusTooManyRequests:       ErrTooManyRequests,
	http.StatusInternalServerError:   ErrInternal,
	http.StatusServiceUnavailable:    ErrUnavailable,
}

// Problem is an answer by which the service, or a proxy before it, refuses a call. Members
// that weren't told are empty.
type Problem struct {
	Type       string        // stable, to program against; "about:blank" where the answer is no problem document
	Title      string        // the type in words
	Status     int           // of HTTP
	Detail     string        // what was wrong this time and what to do about it, for people
	RequestID  string        // to quote when asking for help
	Parameter  string        // the first parameter at fault
	ID         string        // the id in conflict
	Faults     []Fault       // of the body, up to 20; RecordBatch counts /items/n along the entries it was given
	RetryAfter time.Duration // how long to wait before another attempt
}

// Fault is one fault of a body.
type Fault struct {
	Pointer string // a JSON pointer (RFC 6901) into the body; empty for the body as a whole
	Detail  string
}

// Error is one line for a log.
func (p *Problem) Error() string {
	text := fmt.Sprintf("the service answers %d %s", p.Status, p.Title)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	for _, fault := range p.Faults {
		text += fmt.Sprintf("; %s %s", fault.Pointer, fault.Detail)
	}
	if p.RequestID != "" {
		text += " (request " + p.RequestID + ")"
	}
	return text
}

// Is reports whether target is the sentinel of the problem's status or type.
func (p *Problem) Is(target error) bool {
	return target != nil && kinds[p.Status] == target || target == ErrAltered && p.altered()
}

func (p *Problem) altered() bool { return strings.HasSuffix(p.Type, "/problems/altered") }

// repeatable reports whether another attempt may be answered better.
func (p *Problem) repeatable() bool {
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !p.altered()
	}
	return false
}

// maxProblem bounds what is read of an answer that refuses.
const maxProblem = 1 << 20

// newProblem reads a refusal. Whatever its body is, the status tells the kind.
func newProblem(response *http.Response) *Problem {
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(response.StatusCode), Status: response.StatusCode,
		RequestID: response.Header.Get("X-Request-Id"), RetryAfter: retryAfter(response.Header.Get("Retry-After")),
	}
	var told client.Problem
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, &told) != nil {
		return p
	}
	p.Type, p.Title, p.RequestID = told.Type, told.Title, told.RequestID
	p.Detail, p.Parameter, p.ID = value(told.Detail), value(told.Parameter), value(told.ID)
	for _, fault := range told.Errors {
		p.Faults = append(p.Faults, Fault{fault.Pointer, fault.Detail})
	}
	return p
}

// retryAfter reads both forms of the header; what can't be read asks for nothing.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

func value[T any](pointer *T) (v T) {
	if pointer != nil {
		v = *pointer
	}
	return v
}
