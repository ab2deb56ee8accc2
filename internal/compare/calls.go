package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// samples is how many values of a filter are tried.
const samples = 3

// ownAction is the action under which this service records each export in its admin trail.
const ownAction = "audit_log.exported"

// Calls makes a list of calls of the reference's four operations, with values for the filters
// from the first page of the old service's trail. Exports come last. notes tell what was left
// out, for people.
func (c *Comparison) Calls(ctx context.Context) (calls, notes []string, err error) {
	first, err := c.read(ctx, c.old, "/audit-logs?page=1&per_page=50")
	if err != nil {
		return nil, nil, err
	}
	if first.status != http.StatusOK {
		return nil, nil, fmt.Errorf("the old service answers %d to its list of audit logs", first.status)
	}
	s := sample(first.entries)
	calls = append(s.lists(first.total), s.histories()...)
	admin, notes, err := c.adminCalls(ctx)
	if err != nil {
		return nil, nil, err
	}
	return append(append(calls, admin...), s.exports()...), notes, nil
}

// page is the beginning of a list.
type page struct {
	status  int
	total   int64
	entries []map[string]any
}

func (c *Comparison) read(ctx context.Context, s *side, call string) (*page, error) {
	a, err := s.get(ctx, call)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Base+call, err)
	}
	defer a.close()
	p := &page{status: a.status}
	if total, is := a.beside["total"].(json.Number); is {
		p.total, _ = total.Int64()
	}
	for i := range min(a.items.len(), 100) {
		item, err := a.items.item(i)
		if err != nil {
			return nil, err
		}
		if entry, is := item.(map[string]any); is {
			p.entries = append(p.entries, entry)
		}
	}
	return p, nil
}

// sampled are values that entries have.
type sampled struct {
	actions, types, ids, users []string
	resources                  [][2]string
	oldest, newest             string
}

func sample(entries []map[string]any) (s sampled) {
	for _, entry := range entries {
		resource := [2]string{word(entry, "resourceType"), word(entry, "resourceId")}
		add(&s.actions, word(entry, "action"))
		add(&s.types, resource[0])
		add(&s.ids, resource[1])
		add(&s.users, word(entry, "userId"))
		if resource[0] != "" && resource[1] != "" && resource[1] != "." && resource[1] != ".." {
			add(&s.resources, resource)
		}
		if at := word(entry, "createdAt"); at != "" {
			s.oldest = at
			if s.newest == "" {
				s.newest = at
			}
		}
	}
	return s
}

func word(entry map[string]any, name string) string {
	text, _ := entry[name].(string)
	return text
}

func add[T comparable](values *[]T, value T) {
	var none T
	if value != none && len(*values) < samples && !slices.Contains(*values, value) {
		*values = append(*values, value)
	}
}

// query writes parameters, names and values in turn, in their order.
func query(path string, pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+"="+url.QueryEscape(pairs[i+1]))
	}
	if len(parts) == 0 {
		return path
	}
	return path + "?" + strings.Join(parts, "&")
}

const listPath, exportPath, adminPath = "/audit-logs", "/audit-logs/export", "/admin/audit-logs"

func (s sampled) lists(total int64) []string {
	const size = 50
	last := max(1, (total+size-1)/size)
	calls := []string{listPath, query(listPath, "page", "0", "per_page", "0")}
	for _, page := range []int64{1, 2, last, last + 1} {
		if call := query(listPath, "page", fmt.Sprint(page), "per_page", fmt.Sprint(size)); !slices.Contains(calls, call) {
			calls = append(calls, call)
		}
	}
	for _, filter := range s.filters("resource_type", "resource_id", "action", "user_id") {
		calls = append(calls, query(listPath, filter...), query(listPath, append([]string{"page", "2", "per_page", "5"}, filter...)...))
	}
	for _, r := range s.resources {
		calls = append(calls, query(listPath, "resource_type", r[0], "resource_id", r[1]))
	}
	if len(s.actions) > 0 && len(s.users) > 0 {
		calls = append(calls, query(listPath, "action", s.actions[0], "user_id", s.users[0]))
	}
	return append(calls, query(listPath, "action", "no.such_action"))
}

// filters are the values of each named filter, and ranges of dates.
func (s sampled) filters(names ...string) (filters [][]string) {
	values := map[string][]string{"resource_type": s.types, "resource_id": s.ids, "action": s.actions, "user_id": s.users}
	for _, name := range names {
		for _, value := range values[name] {
			filters = append(filters, []string{name, value})
		}
	}
	if s.newest == "" {
		return filters
	}
	filters = append(filters, []string{"start_date", s.oldest, "end_date", s.newest}, []string{"start_date", s.newest}, []string{"end_date", s.oldest})
	if t, err := audit.ParseTime(s.oldest); err == nil {
		filters = append(filters, []string{"start_date", t.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339Nano)})
	}
	return filters
}

func (s sampled) histories() (calls []string) {
	for _, r := range s.resources {
		path := listPath + "/resource/" + url.PathEscape(r[0]) + "/" + url.PathEscape(r[1])
		calls = append(calls, path, query(path, "page", "1", "per_page", "5"), query(path, "page", "2", "per_page", "5"))
	}
	return append(calls, listPath+"/resource/server/no-such-resource")
}

func (s sampled) exports() []string {
	calls := []string{exportPath}
	for _, format := range []string{"json", "csv"} {
		calls = append(calls, query(exportPath, "format", format))
		for _, filter := range s.filters("resource_type", "action") {
			calls = append(calls, query(exportPath, append([]string{"format", format}, filter...)...))
		}
	}
	return calls
}

// adminCalls leaves out what the services' own records of earlier exports would disturb.
func (c *Comparison) adminCalls(ctx context.Context) (calls, notes []string, err error) {
	plain := query(adminPath, "page", "1", "limit", "20")
	first, err := c.read(ctx, c.old, plain)
	if err != nil {
		return nil, nil, err
	}
	if first.status != http.StatusOK {
		return []string{plain}, nil, nil // both must refuse it alike
	}
	disturbed := false
	for _, s := range []*side{c.old, c.new} {
		own, err := c.read(ctx, s, query(adminPath, "limit", "1", "action", ownAction))
		if err != nil {
			return nil, nil, err
		}
		disturbed = disturbed || own.status == http.StatusOK && own.total > 0
	}
	var actions []string
	for _, entry := range first.entries {
		if action := word(entry, "action"); action != ownAction {
			add(&actions, action)
		}
	}
	if disturbed {
		notes = append(notes, "the admin trail is compared by action alone, because it holds records of earlier exports ("+ownAction+")")
	} else {
		calls = append(calls, adminPath, query(adminPath, "page", "0", "limit", "0"), plain, query(adminPath, "page", "2", "limit", "20"), query(adminPath, "limit", "100"))
		for _, action := range actions {
			calls = append(calls, query(adminPath, "search", action))
		}
	}
	for _, action := range actions {
		calls = append(calls, query(adminPath, "limit", "100", "action", action))
	}
	return append(calls, query(adminPath, "action", "no.such_action")), notes, nil
}
