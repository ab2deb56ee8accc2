package proof

import (
	"errors"
	"fmt"
)

// The kinds of failure that callers tell apart with errors.Is.
var (
	ErrMalformed = errors.New("malformed") // not in the format, so that nothing could be checked
	ErrMismatch  = errors.New("mismatch")  // checked, and what the file claims is not so
)

// Error is what is wrong with a file, and with which entry of it.
type Error struct {
	Kind     error // one of the two above
	Position int64 // of the entry at fault, or -1 where it is none, or can't be told
	Detail   string
}

func (e *Error) Error() string {
	if e.Position >= 0 {
		return fmt.Sprintf("position %d: %s", e.Position, e.Detail)
	}
	return e.Detail
}

// Unwrap lets errors.Is find the kind.
func (e *Error) Unwrap() error { return e.Kind }

func malformed(format string, args ...any) error {
	return &Error{ErrMalformed, -1, fmt.Sprintf(format, args...)}
}

func mismatch(position int64, format string, args ...any) error {
	return &Error{ErrMismatch, position, fmt.Sprintf(format, args...)}
}

// within says where in a file an error is.
func within(place string, err error) error {
	var known *Error
	if !errors.As(err, &known) || known.Position >= 0 {
		return err
	}
	return &Error{known.Kind, -1, place + ": " + known.Detail}
}
