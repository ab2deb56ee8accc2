package audit

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure that callers tell apart with errors.Is.
var (
	ErrUnauthenticated = errors.New("unauthenticated")     // no token, or one that is not trusted
	ErrForbidden       = errors.New("forbidden")           // trusted, but not allowed this
	ErrMalformed       = errors.New("malformed")           // the document's schema forbids it
	ErrUnprocessable   = errors.New("unprocessable")       // a rule that a schema can't state forbids it
	ErrTooLarge        = errors.New("too large")           // over a size limit
	ErrNotFound        = errors.New("not found")           // no such entry in this organization
	ErrConflict        = errors.New("conflict")            // a known id with other content
	ErrNotReady        = errors.New("not ready")           // nothing was looked at yet
	ErrOverloaded      = errors.New("overloaded")          // refused before anything was stored
	ErrUnsigned        = errors.New("unsigned")            // no checkpoint covers it yet
	ErrAltered         = errors.New("altered")             // what is stored is not what was signed
	ErrUnavailable     = errors.New("storage unavailable") // outcome of a write unknown: send the same ids again
)

// MaxFaults bounds how many faults of one body are told at once.
const MaxFaults = 20

// Fault is one thing wrong with a body: Pointer is an RFC 6901 JSON pointer into
// what was sent, Detail says what is wrong and what to do about it.
type Fault struct {
	Pointer string
	Detail  string
}

// MaxPointer is how long the document lets a pointer be.
const MaxPointer = 4096

// ShortPointer points at what holds the fault where the path to the fault itself would be
// too long: names are the caller's, and twenty faults would repeat one of 8 MiB twenty times.
func ShortPointer(pointer string) string {
	for len(pointer) > MaxPointer {
		pointer = pointer[:max(0, strings.LastIndexByte(pointer, '/'))]
	}
	return pointer
}

// Rejection is an error whose text may be shown to whoever caused it.
type Rejection struct {
	Kind      error   // one of the sentinels above
	Detail    string  // a sentence, or "" when Faults say it all
	Parameter string  // the first parameter at fault, if one is
	ID        string  // the id in conflict, if one is
	Faults    []Fault // at most MaxFaults
}

// Error is for logs and rejects, and stops where a line of them would get too long: faults
// repeat names that were sent.
func (r *Rejection) Error() string {
	text := r.Kind.Error()
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	for i, f := range r.Faults {
		if len(text) > MaxPointer {
			return text + fmt.Sprintf("; and %d more", len(r.Faults)-i)
		}
		text += fmt.Sprintf("; %s: %s", f.Pointer, f.Detail)
	}
	return text
}

// Unwrap lets errors.Is find the kind.
func (r *Rejection) Unwrap() error { return r.Kind }

// Alteration is an [ErrAltered] that says where. Its text may be shown to whoever may read
// the trail.
type Alteration struct {
	Organization string
	Position     int64  // of the entry at fault, or -1 where it is none, or can't be told
	Detail       string // what is not as it was signed
}

// Error is for logs.
func (a *Alteration) Error() string {
	return fmt.Sprintf("%s: the trail of %s: %s", ErrAltered, a.Organization, a.Text())
}

// Text is what is wrong, and where.
func (a *Alteration) Text() string {
	if a.Position < 0 {
		return a.Detail
	}
	return fmt.Sprintf("position %d: %s", a.Position, a.Detail)
}

// Unwrap lets errors.Is find the kind.
func (a *Alteration) Unwrap() error { return ErrAltered }

// Denied is an [ErrForbidden] that says what is missing.
func Denied(detail string) error { return &Rejection{Kind: ErrForbidden, Detail: detail} }

// BadParameter is an [ErrMalformed] that names the parameter and the remedy.
func BadParameter(name, format string, args ...any) error {
	return &Rejection{Kind: ErrMalformed, Parameter: name, Detail: fmt.Sprintf(format, args...)}
}
