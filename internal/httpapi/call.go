package httpapi

import (
	"context"

	"ocore.dev/audit/internal/audit"
)

// call is what is known of one request besides the request itself.
type call struct {
	requestID    string
	traceID      string // "" when nothing is traced
	operation    string
	route        string // the document's path with the base path, "" for none of it
	framed       bool   // the answer's end can be told from a cut: HTTP/1.1 and later
	path         string // as it was sent, escaped: links repeat it
	principal    audit.Principal
	again        func(context.Context) error // authenticates anew: an answer may take longer than a token is valid
	organization string                      // "" for operations on the admin trail
	body         []byte                      // compact JSON of the operation's schema
	failure      error                       // why it was refused or broke off, for the log
	lane         *lane
	ends         []func()
}

// atEnd calls f when the call is over, however it ends.
func (c *call) atEnd(f func()) { c.ends = append(c.ends, f) }

func (c *call) end() {
	for _, f := range c.ends {
		f()
	}
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// callOf returns the request's call; the outermost middleware put it there.
func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}
