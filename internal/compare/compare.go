package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Kind is what a finding is about.
type Kind string

// The kinds of findings.
const (
	Failed   Kind = "failed"   // a call has no whole answer from one of the services; Member says from which
	Status   Kind = "status"   // the statuses differ, and nothing else was compared
	Type     Kind = "type"     // the media types differ, and nothing else was compared
	Envelope Kind = "envelope" // a member beside the items, or the whole of an answer without any
	Columns  Kind = "columns"  // of CSV: one that only one of the two has, or their order
	Missing  Kind = "missing"  // an item that only the old service has
	Extra    Kind = "extra"    // an item that only the new service has
	Order    Kind = "order"    // the items that both have stand in another order; Old and New are the first that differ
	Member   Kind = "member"   // a member of an item
)

// Finding is one difference.
type Finding struct {
	Call   string          `json:"call"`
	Kind   Kind            `json:"kind"`
	ID     string          `json:"id,omitempty"`     // of the item, or #n for the nth item where it has none
	Member string          `json:"member,omitempty"` // with the way into it: afterState.disks[0].size
	Old    json.RawMessage `json:"old,omitempty"`    // missing where the old service has nothing
	New    json.RawMessage `json:"new,omitempty"`
	Note   string          `json:"note,omitempty"` // for people
}

// Summary counts what a comparison found.
type Summary struct {
	Calls       int            `json:"calls"`
	Same        int            `json:"same"`
	Different   int            `json:"different"`
	Failed      int            `json:"failed"`
	Differences int            `json:"differences"`
	Items       int            `json:"items"`     // that both services have
	Refused     map[int]int    `json:"refused"`   // calls that both services answer with such a status
	Added       map[string]int `json:"added"`     // how often the new service adds a member
	Rewritten   map[string]int `json:"rewritten"` // how often the new service writes a value in another form
}

// Side is one of the two services.
type Side struct {
	Base         string // absolute URL with the base path; calls are appended
	Token        string // bearer token; none is sent when it is empty
	Organization string // X-Org-Slug; none is sent when it is empty
}

// Options of a comparison.
type Options struct {
	Old, New Side
	Ignore   []string // members of items and envelopes, and columns, that are not compared
	Strict   bool     // what is added or rewritten is a difference too
	Report   func(Finding) error
}

// Comparison compares calls, one after the other. It isn't safe for concurrent use.
type Comparison struct {
	old, new *side
	ignore   map[string]bool
	strict   bool
	report   func(Finding) error
	summary  Summary
	found    int // differences of the current call
	failed   error
}

// New prepares a comparison; nothing is sent yet.
func New(o Options) *Comparison {
	c := &Comparison{
		old: newSide(o.Old), new: newSide(o.New), strict: o.Strict, report: o.Report, ignore: map[string]bool{},
		summary: Summary{Refused: map[int]int{}, Added: map[string]int{}, Rewritten: map[string]int{}},
	}
	for _, name := range o.Ignore {
		c.ignore[name] = true
	}
	return c
}

// Summary counts what was found so far.
func (c *Comparison) Summary() Summary { return c.summary }

// Call sends one call to both services at once and reports the differences of their answers.
// A call that gets no answer is a finding too; the error is the report's or the context's.
func (c *Comparison) Call(ctx context.Context, call string) error {
	c.found, c.failed = 0, nil
	var answers [2]*answer
	var errs [2]error
	var both sync.WaitGroup
	for i, side := range []*side{c.old, c.new} {
		both.Go(func() { answers[i], errs[i] = side.get(ctx, call) })
	}
	both.Wait()
	defer answers[0].close()
	defer answers[1].close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.summary.Calls++
	failed := false
	for i, name := range []string{"old", "new"} {
		if errs[i] != nil {
			failed = true
			c.find(Finding{Call: call, Kind: Failed, Member: name, Note: errs[i].Error()})
		}
	}
	if !failed {
		(&pair{c, call, answers[0], answers[1]}).compare()
	}
	switch {
	case failed:
		c.summary.Failed++
	case c.found > 0:
		c.summary.Different++
		c.summary.Differences += c.found
	default:
		c.summary.Same++
	}
	return c.failed
}

func (c *Comparison) find(f Finding) {
	c.found++
	if c.failed == nil {
		c.failed = c.report(f)
	}
}

// CheckCall tells what is wrong with a call, which is a path and a query, perhaps after GET.
func CheckCall(line string) (call string, err error) {
	call = strings.TrimPrefix(line, "GET ")
	if method, _, more := strings.Cut(call, " "); more && method == strings.ToUpper(method) {
		return "", fmt.Errorf("%s is not sent: a comparison only reads, with GET", method)
	}
	if !strings.HasPrefix(call, "/") || strings.ContainsAny(call, " \t#") {
		return "", fmt.Errorf("%q is no path with a query such as /audit-logs?page=1, as it is sent", line)
	}
	if _, err := http.NewRequest(http.MethodGet, "http://host"+call, nil); err != nil { //nolint:noctx // only parsed
		return "", fmt.Errorf("%q can't be sent: it is not percent-encoded", line)
	}
	return call, nil
}
