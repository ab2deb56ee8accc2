package contract

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// Those who appear in the examples: what they may do is what the story needs and no more.
var (
	controlPlane = somebody("control-plane", "", audit.CreateAuditLogs)
	ada          = somebody("ada@acme.example", "Ada Lovelace", audit.ViewAuditLogs)
	adaToo       = somebody("ada@acme.example", "Ada Lovelace", audit.ManageAPIKeys, audit.CreateAuditLogs) // as the shop's administrator
	backOffice   = somebody("back-office", "", audit.CreateAdminAuditLogs)
	grace        = somebody("grace@platform.example", "Grace Hopper", audit.ViewAdminAuditLogs)
)

func somebody(subject, name string, may ...audit.Permission) audit.Principal {
	return audit.Principal{Issuer: "testkit", Subject: subject, Name: name, Organizations: []string{"acme"}, Permissions: may}
}

// step is one call of the story. Parameters take the values that the document gives as
// their examples; X-Org-Slug is sent wherever it is a parameter.
type step struct {
	by        audit.Principal
	operation string
	send      string // names of the query parameters, space between
	body      string // name of the request example
	answer    string // name of the example that the answer must equal
	media     string // its media type, if it isn't application/json
	headers   []string
}

// story is in the order in which things happened. Each success example of the document
// is somebody's answer in it, each request example somebody's body.
var story = []step{
	{by: controlPlane, operation: "createAuditLog", body: "least", answer: "least"},
	{by: controlPlane, operation: "createAuditLog", body: firstOfBatch},
	{by: controlPlane, operation: "createAuditLogBatch", body: "deployment", answer: "oneKnownOneNew"},
	{by: controlPlane, operation: "createAuditLog", body: "serverResized", answer: "serverResized"},
	{by: controlPlane, operation: "createAuditLog", body: "serverResized", answer: "serverResized", headers: []string{"Idempotency-Replayed"}},
	{by: ada, operation: "getAuditLog", answer: "serverResized"},
	{by: ada, operation: "getAuditLogProof", answer: "serverResized"},
	{by: ada, operation: "getAuditLogCheckpoint", answer: "newest"},
	{by: ada, operation: "getAuditLogConsistency", send: "from to", answer: "grown"},
	{by: ada, operation: "listAuditLogKeys", answer: "one"},
	{by: ada, operation: "listAuditLogs", send: "page per_page", answer: "firstPage", headers: []string{"Link"}},
	{by: ada, operation: "listAuditLogs", send: "cursor per_page", answer: "secondPage"},
	{by: ada, operation: "listAuditLogs", send: "action start_date end_date", answer: "nothingMatches"},
	{by: ada, operation: "listResourceAuditLogs", answer: "webServer"},
	{by: ada, operation: "listResourceAuditLogs", send: "action start_date end_date", answer: "nothingMatches"},
	{by: backOffice, operation: "createAdminAuditLog", body: "quotaRaised", answer: "quotaRaised"},
	{by: grace, operation: "getAdminAuditLogProof", answer: "quotaRaised"},
	{by: grace, operation: "listAdminAuditLogKeys", answer: "one"},
	{by: ada, operation: "exportAuditLogs", send: "format resource_type page per_page", answer: "servers", media: "text/csv", headers: []string{"X-Total-Count", "Content-Disposition"}},
	{by: grace, operation: "listAdminAuditLogs", send: "page limit", answer: "firstPage"},
	{by: grace, operation: "listAdminAuditLogs", send: "search", answer: "searched"},
	{by: grace, operation: "listAdminAuditLogs", send: "action", answer: "nothingMatches"},
	{by: ada, operation: "exportAuditLogs", send: "resource_type resource_id user_id", answer: "servers", headers: []string{"X-Total-Count"}},
	{by: ada, operation: "exportAuditLogs", send: "resource_type exclude_action exclude_resource_id exclude_resource_type exclude_user_id", answer: "servers"},
	{by: ada, operation: "getAuditLogHistogram", send: "action buckets", answer: "serverUpdates"},
	{by: ada, operation: "listAuditLogFacets", send: "resource_type field", answer: "serverActions"},
	{by: ada, operation: "listAuditLogValues", send: "field prefix", answer: "serverActions"},
	{by: ada, operation: "tailAuditLogs", send: "position wait", answer: "twoEntries", media: "text/event-stream", headers: []string{"X-Accel-Buffering"}},
	{by: adaToo, operation: "createApiKey", body: "shop", answer: "shop"},
	{by: adaToo, operation: "listApiKeys", answer: "one"},
	{by: adaToo, operation: "revokeApiKey", answer: "revoked"},
	{by: ada, operation: "exportAuditLogs", send: "resource_type with_proof", answer: "proven", headers: []string{"X-Total-Count"}},
}

// firstOfBatch is the body of the attempt that the batch's answer says came before it.
const firstOfBatch = "the first entry of the batch"

// What can't be the same twice is masked, and only this: `createdAt` and `signedAt` are the
// database's clock, which `expiresAt`, `revokedAt` and a histogram's `start` and `end` follow; salts are random, and with them
// is every hash and signature; cursors carry the state of a walk; and ids that no example
// sends are the service's choice, as API keys are. Positions and totals are not masked: the
// trails are filled beforehand so far that the story's entries get the documented ones.
// Request ids are sent along.
var masked = map[string]bool{
	"createdAt": true, "signedAt": true, "nextCursor": true, "expiresAt": true, "revokedAt": true, "key": true, "start": true, "end": true,
	"leafHash": true, "salts": true, "proof": true, "hashes": true, "root": true, "checkpoint": true,
}

const requestID = "01a207ae-05dc-725e-b84d-8dbc74254770"

func TestTheExamplesAreAStoryThatHappens(t *testing.T) {
	t.Parallel()
	d := load(t)
	s := testkit.NewService(t)
	d.fillTrails(t, s)
	cursor, key := "", ""
	for _, step := range story {
		o := d.operations[step.operation]
		if o == nil {
			t.Fatalf("no operation %s", step.operation)
		}
		a := d.call(t, s, step, cursor, key)
		at := strings.TrimSpace(fmt.Sprintf("%s %s %s -> %s", step.operation, step.send, step.body, step.answer))
		if a.status != o.success {
			t.Fatalf("%s: %d %s", at, a.status, a.body)
		}
		if step.answer != "" {
			d.same(t, at, o, step, a.body)
		}
		for _, name := range step.headers {
			got, want := a.header.Get(name), fmt.Sprint(o.answer().Headers[name].Value.Example)
			if maskCursor(got) != maskCursor(want) {
				t.Errorf("%s: %s is %q, documented as %q", at, name, got, want)
			}
		}
		var next struct{ NextCursor, ID, Key string }
		if json.Unmarshal(a.body, &next) == nil && next.NextCursor != "" {
			cursor = next.NextCursor
		}
		if next.Key != "" {
			key = next.ID
		}
	}
}

// An example or a parameter that the story leaves out would be nobody's experience.
func TestTheStoryTellsEveryExample(t *testing.T) {
	t.Parallel()
	d := load(t)
	told := map[string]bool{}
	for _, step := range story {
		told[step.operation+" body "+step.body] = true
		told[step.operation+" answer "+step.media+" "+step.answer] = true
		for name := range strings.FieldsSeq(step.send) {
			told[step.operation+" sends "+name], told["sends "+name] = true, true
		}
	}
	for id, o := range d.operations {
		if o.RequestBody != nil {
			for name := range o.RequestBody.Value.Content.Get("application/json").Examples {
				if !told[id+" body "+name] {
					t.Errorf("%s: nobody sends the example %s", id, name)
				}
			}
		}
		for media, content := range o.answer().Content {
			for name := range content.Examples {
				if !told[id+" answer "+strings.TrimPrefix(media, "application/json")+" "+name] {
					t.Errorf("%s: nobody gets the example %s as %s", id, name, media)
				}
			}
		}
		for _, p := range o.Parameters {
			if p.Value.In == openapi3.ParameterInQuery && !told["sends "+p.Value.Name] {
				t.Errorf("%s: nobody sends %s", id, p.Value.Name)
			}
		}
	}
}

// What two examples say of one entry must agree, and time must not run backwards.
func TestTheExamplesAgree(t *testing.T) {
	t.Parallel()
	d := load(t)
	for _, trail := range []string{"Audit", "Admin"} {
		entries := d.documented(trail)
		slices.SortFunc(entries, func(a, b entry) int { return int(a.position() - b.position()) })
		for i, e := range entries[1:] {
			before := entries[i]
			same := e.position() == before.position()
			if same != (e["id"] == before["id"]) || same && e["createdAt"] != before["createdAt"] {
				t.Errorf("%s: two examples disagree:\n%s\n%s", trail, show(before), show(e))
			}
			if e["createdAt"].(string) < before["createdAt"].(string) {
				t.Errorf("%s: time runs backwards:\n%s\n%s", trail, show(before), show(e))
			}
		}
	}
	for _, schema := range []string{"AuditLog", "NewAuditLog", "AuditLogReceipt", "AdminAuditLog", "NewAdminAuditLog"} {
		for name, property := range d.spec.Components.Schemas[schema].Value.Properties {
			if name == "importedAt" { // the story imports nothing
				continue
			}
			if example := property.Value.Example; !d.shows(name, example) {
				t.Errorf("%s.%s: no example of the story has %v", schema, name, example)
			}
		}
	}
	first := d.spec.Components.Examples["FirstPage"].Value.Value.(map[string]any)["nextCursor"]
	for at, cursor := range map[string]any{
		"the parameter": d.spec.Components.Parameters["CursorToken"].Value.Example,
		"AuditLogList":  d.spec.Components.Schemas["AuditLogList"].Value.Properties["nextCursor"].Value.Example,
		"Link":          cursorIn.FindStringSubmatch(fmt.Sprint(d.spec.Components.Headers["NextLink"].Value.Example))[1],
	} {
		if cursor != first {
			t.Errorf("%s has the cursor %v, the first page %v", at, cursor, first)
		}
	}
}

// document is openapi.yaml as the tests of this package read it.
type document struct {
	spec       *openapi3.T
	operations map[string]*operation
}

type operation struct {
	*openapi3.Operation
	method, path string
	success      int
}

func (o *operation) answer() *openapi3.Response { return o.Responses.Status(o.success).Value }

var loadOnce = sync.OnceValues(func() (*document, error) { return parse(httpapi.Document()) })

func load(t testing.TB) *document {
	t.Helper()
	d, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(source []byte) (*document, error) {
	spec, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, err
	}
	d := &document{spec, map[string]*operation{}}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			known := &operation{Operation: o, method: method, path: path}
			for _, status := range []int{200, 201} {
				if o.Responses.Status(status) != nil {
					known.success = status
				}
			}
			d.operations[o.OperationID] = known
		}
	}
	return d, nil
}

// entry is an entry of a trail as an example shows it.
type entry map[string]any

// documented gathers the entries, and receipts of entries, that the success examples of a
// trail's operations show.
func (d *document) documented(trail string) []entry {
	var found []entry
	for _, o := range d.operations {
		if !slices.Contains(o.Tags, trail) {
			continue
		}
		for _, content := range o.answer().Content {
			for _, example := range content.Examples {
				found = append(found, entriesIn(example.Value.Value)...)
			}
		}
	}
	return found
}

func entriesIn(value any) []entry {
	var found []entry
	switch value := value.(type) {
	case map[string]any:
		if value["position"] != nil {
			return []entry{value}
		}
		for _, member := range value {
			found = append(found, entriesIn(member)...)
		}
	case []any:
		for _, element := range value {
			found = append(found, entriesIn(element)...)
		}
	}
	return found
}

func (e entry) position() int64 { return int64(e["position"].(float64)) }

// shows reports whether a member of this name has this value in some example.
func (d *document) shows(name string, value any) bool {
	for _, o := range d.operations {
		contents := []openapi3.Content{o.answer().Content}
		if o.RequestBody != nil {
			contents = append(contents, o.RequestBody.Value.Content)
		}
		for _, content := range contents {
			for _, media := range content {
				for _, example := range media.Examples {
					if contains(example.Value.Value, name, value) {
						return true
					}
				}
			}
		}
	}
	return false
}

func contains(in any, name string, value any) bool {
	switch in := in.(type) {
	case map[string]any:
		if member, has := in[name]; has && covers(member, value) {
			return true
		}
		for _, member := range in {
			if contains(member, name, value) {
				return true
			}
		}
	case []any:
		for _, element := range in {
			if contains(element, name, value) {
				return true
			}
		}
	}
	return false
}

// covers lets an object's example leave members out.
func covers(whole, part any) bool {
	object, isObject := whole.(map[string]any)
	some, bothAre := part.(map[string]any)
	if !isObject || !bothAre {
		return reflect.DeepEqual(whole, part)
	}
	for name, value := range some {
		if !reflect.DeepEqual(object[name], value) {
			return false
		}
	}
	return true
}

// fillTrails records what had happened before the story begins, so that its entries get
// the positions that the document shows: the entries that only answers show, and others
// that no filter of the story matches.
func (d *document) fillTrails(t *testing.T, s *testkit.Service) {
	t.Helper()
	earlier := make([]entry, d.firstPosition("createAuditLog"))
	for at := range earlier {
		earlier[at] = entry{"action": "member.joined", "resourceType": "member", "resourceId": fmt.Sprintf("member-%d", at)}
	}
	for _, e := range d.documented("Audit") {
		if at := e.position(); at < int64(len(earlier)) {
			earlier[at] = draft(e)
		}
	}
	for some := range slices.Chunk(earlier, audit.MaxBatch) {
		post(t, s, controlPlane, "/audit-logs/batch", map[string]any{"items": some})
	}
	for at := range d.firstPosition("createAdminAuditLog") {
		post(t, s, backOffice, "/admin/audit-logs", entry{"action": "org.updated", "details": map[string]any{"at": at}})
	}
}

// firstPosition is the lowest that the operation's answers show: where the story begins.
func (d *document) firstPosition(operation string) int64 {
	lowest := int64(-1)
	for _, example := range d.operations[operation].answer().Content.Get("application/json").Examples {
		if at := entry(example.Value.Value.(map[string]any)).position(); lowest < 0 || at < lowest {
			lowest = at
		}
	}
	return lowest
}

// draft is what was sent for a stored entry.
func draft(stored entry) entry {
	sent := maps.Clone(stored)
	for _, given := range []string{"position", "createdAt", "recordedBy", "leafHash"} {
		delete(sent, given)
	}
	return sent
}

func post(t *testing.T, s *testkit.Service, by audit.Principal, path string, body any) {
	t.Helper()
	r := request(t, s, by, http.MethodPost, path, body)
	if a := do(t, s, r); a.status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
}

func request(t *testing.T, s *testkit.Service, by audit.Principal, method, path string, body any) *http.Request {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+testkit.Token(t, by))
	r.Header.Set("X-Request-Id", requestID)
	return r
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func do(t *testing.T, s *testkit.Service, r *http.Request) answer {
	t.Helper()
	response, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// call makes the step's call out of the document alone, but for the cursor, which is the
// last one that an answer gave, and the key, likewise.
func (d *document) call(t *testing.T, s *testkit.Service, step step, cursor, key string) answer {
	t.Helper()
	o := d.operations[step.operation]
	path, query, slug := o.path, url.Values{}, ""
	for _, p := range o.Parameters {
		example := fmt.Sprint(p.Value.Example)
		list, isList := p.Value.Example.([]any)
		switch {
		case p.Value.In == openapi3.ParameterInPath && o.Tags[0] == "Keys":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", key) // the service's choice
		case p.Value.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(example))
		case p.Value.Name == "Last-Event-ID": // nobody was cut off
		case p.Value.In == openapi3.ParameterInHeader:
			slug = example
		case p.Value.Name == "cursor" && slices.Contains(strings.Fields(step.send), "cursor"):
			query.Set("cursor", cursor)
		case isList && slices.Contains(strings.Fields(step.send), p.Value.Name):
			for _, value := range list {
				query.Add(p.Value.Name, fmt.Sprint(value))
			}
		case slices.Contains(strings.Fields(step.send), p.Value.Name):
			query.Set(p.Value.Name, example)
		}
	}
	if len(query) != len(strings.Fields(step.send)) {
		t.Fatalf("%s takes no such parameters: %s", step.operation, step.send)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	r := request(t, s, step.by, o.method, path, d.body(t, step))
	if slug != "" {
		r.Header.Set("X-Org-Slug", slug)
	}
	return do(t, s, r)
}

func (d *document) body(t *testing.T, step step) any {
	t.Helper()
	switch step.body {
	case "":
		return nil
	case firstOfBatch:
		return d.requestExample(t, "createAuditLogBatch", "deployment").(map[string]any)["items"].([]any)[0]
	}
	return d.requestExample(t, step.operation, step.body)
}

func (d *document) requestExample(t *testing.T, operation, name string) any {
	t.Helper()
	example := d.operations[operation].RequestBody.Value.Content.Get("application/json").Examples[name]
	if example == nil {
		t.Fatalf("%s has no request example %s", operation, name)
	}
	return example.Value.Value
}

// same holds an answer against the example of it.
func (d *document) same(t *testing.T, at string, o *operation, step step, body []byte) {
	t.Helper()
	media := step.media
	if media == "" {
		media = "application/json"
	}
	example := o.answer().Content.Get(media).Examples[step.answer]
	if example == nil {
		t.Fatalf("%s: no such example", at)
	}
	var got, want any
	switch media {
	case "text/event-stream":
		got, want = maskCreated(string(body)), maskCreated(example.Value.Value.(string))
	case "text/csv":
		got, want = d.cells(t, string(body)), d.cells(t, example.Value.Value.(string))
	default:
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		got, want = d.mask(got), d.mask(example.Value.Value)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nanswers    %s\ndocumented %s", at, show(got), show(want))
	}
}

func show(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

func (d *document) mask(value any) any {
	switch value := value.(type) {
	case map[string]any:
		shown := map[string]any{}
		for name, member := range value {
			id, isText := member.(string)
			if masked[name] || name == "id" && isText && !d.sends(id) {
				member = "masked"
			}
			shown[name] = d.mask(member)
		}
		return shown
	case []any:
		shown := []any{}
		for _, element := range value {
			shown = append(shown, d.mask(element))
		}
		return shown
	}
	return value
}

// sends reports whether some request, or what was recorded before the story, has the id.
func (d *document) sends(id string) bool {
	for _, o := range d.operations {
		if o.RequestBody == nil {
			continue
		}
		for _, example := range o.RequestBody.Value.Content.Get("application/json").Examples {
			if contains(example.Value.Value, "id", id) {
				return true
			}
		}
	}
	for _, e := range d.documented("Audit") {
		if e["id"] == id && e.position() < d.firstPosition("createAuditLog") {
			return true
		}
	}
	return false
}

// cells reads a CSV export; createdAt is masked in it too.
func (d *document) cells(t *testing.T, text string) any {
	t.Helper()
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Errorf("lines don't end in CRLF: %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	created := slices.Index(rows[0], "createdAt")
	for _, row := range rows[1:] {
		row[created] = "masked"
	}
	return rows
}

var cursorIn = regexp.MustCompile(`cursor=([A-Za-z0-9_-]+)`)

var createdIn = regexp.MustCompile(`"createdAt":"[^"]*"`)

func maskCreated(events string) string {
	return createdIn.ReplaceAllString(events, `"createdAt":"masked"`)
}

func maskCursor(link string) string { return cursorIn.ReplaceAllString(link, "cursor=masked") }
