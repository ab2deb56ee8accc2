// Package trail records audit entries and reads them back, for Go programs. It is
// written by hand on top of the generated gen/client, which knows the wire, and adds what
// generators do badly: a source of tokens, attempts that ids make safe to repeat, walks
// along cursors, exports that stream, and problems as errors.
//
// Make one [Client] and share it: it is safe for concurrent use.
//
//	c, err := trail.New("https://audit.acme.example/api", trail.WithTokenSource(token))
//
// # Attempts
//
// Every call is tried again, up to a bound, when the connection fails, when no answer comes
// in time, and on 429, 500, 502, 503 and 504: after a growing pause with jitter, and never
// before a Retry-After has passed. An entry has its id before the first attempt and its bytes
// are made once, so whatever happened to an earlier attempt, it is stored once. A 401 asks the
// source for one more token.
//
// A call ends with its context, also while it waits for the next attempt. The error then
// tells the context's error and what the last attempt met.
//
// # Errors
//
// What the service refuses is a [*Problem]. Tell kinds apart with [errors.Is] and the
// sentinels of this package, and read more with [errors.As]. After a 5xx, a time-out or a
// lost connection the outcome of a write is unknown: recording the same entry under the same
// id again, today or in a year, is safe.
//
// # Applications that can't wait
//
// A [Spool] takes entries into a folder and sends them later, whatever happens to the
// application; gen/client/outbox does so within a transaction of the application's own
// database.
//
// # Changing this package
//
// send.go is the only place that talks HTTP: a new operation is a request of gen/client and
// what to do with its answer. Whatever is added must keep the bytes of a request the same in
// all its attempts.
package trail
