package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
)

func TestAnOperationWithoutAPermissionIsRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"x-something: else", "x-required-permission: view:everything", "x-required-permission: ''", "x-required-permission: [view:audit_logs]"} {
		changed := bytes.Replace(documentYAML, []byte("x-required-permission: create:audit_logs"), []byte(line), 1)
		if bytes.Equal(changed, documentYAML) {
			t.Fatal("the document has no such permission to take away")
		}
		if _, err := loadDocument(changed); err == nil || !strings.Contains(err.Error(), "x-required-permission") {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, err := loadDocument(documentYAML); err != nil {
		t.Error(err)
	}
}

func TestProblemTypesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	d, err := loadDocument(documentYAML)
	if err != nil {
		t.Fatal(err)
	}
	described := d.spec.Components.Schemas["Problem"].Value.Properties["type"].Value.Description
	titles := map[string]string{}
	for _, k := range append(slices.Clone(kinds), internalError) {
		if !strings.Contains(described, "`"+k.slug+"`") || k.status < 400 || k.detail == "" {
			t.Errorf("%+v", k)
		}
		if known := titles[k.slug]; known != "" && known != k.title {
			t.Errorf("%s has the titles %q and %q", k.slug, known, k.title)
		}
		titles[k.slug] = k.title
	}
}

func FuzzTidyQuery(f *testing.F) {
	for _, query := range []string{
		"", "page=1&per_page=20", "action=&user_id=", "action=a+b%20c&start_date=2026-01-01T00:00:00+01:00", "page=1&page=2", "%70age=1&page=1",
		"nonsense=1", "action=%00", "action=%FF", "action=%zz", "a;b", "&&", "=", "=x", "action", "action=a%26page%3D2", "page%00=1", "%FF=%FF",
		"exclude_action=a&exclude_action=b&exclude_action=", "exclude_action=&exclude_action=", "exclude_action=b&page=1&exclude_action=a&exclude_action=%00",
	} {
		f.Add(query)
	}
	o := operation{id: "fuzz", query: map[string]bool{"page": true, "per_page": true, "action": true, "user_id": true, "start_date": true, "exclude_action": true}, lists: map[string]bool{"exclude_action": true}}
	f.Fuzz(func(t *testing.T, query string) {
		tidy, meant, err := o.tidyQuery(query)
		if err != nil {
			if p := newProblem(err, "id"); p.Status != 400 || p.Detail == "" || !utf8.ValidString(p.Parameter) || len(p.Parameter) > 3*64 {
				t.Errorf("%q: %+v", query, p)
			}
			return
		}
		before, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q is taken and can't be read: %v", query, err)
		}
		after, err := url.ParseQuery(tidy)
		if err != nil {
			t.Fatalf("%q became %q: %v", query, tidy, err)
		}
		if !maps.EqualFunc(after, meant, slices.Equal[[]string]) {
			t.Errorf("%q became %q and %v", query, tidy, meant)
		}
		for name, values := range before {
			kept := slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
			if !o.query[name] || len(values) != 1 && !o.lists[name] || !slices.Equal(after[name], kept) {
				t.Errorf("%q became %q: %s", query, tidy, name)
			}
		}
		for name := range after {
			if !before.Has(name) {
				t.Errorf("%q became %q: %s", query, tidy, name)
			}
		}
	})
}

func FuzzUnknownMember(f *testing.F) {
	for _, name := range []string{"x", "", "a/b", "a~b", `q"\`, "\n", "é", "\u2028", "0", "items", `x" is unsupported`, "\x00", "🦆", strings.Repeat("/é", 2000)} {
		f.Add(name)
	}
	d, err := loadDocument(documentYAML)
	if err != nil {
		f.Fatal(err)
	}
	schema := d.spec.Components.Schemas["NewAuditLogBatch"].Value
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) || schema.Properties["items"].Value.Items.Value.Properties[name] != nil {
			return
		}
		body, err := json.Marshal(map[string]any{"items": []any{map[string]any{"action": "a", "resourceType": "t", name: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		var r *audit.Rejection
		want := audit.ShortPointer("/items/0/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
		if err := checkSchema(body, schema); !errors.As(err, &r) || len(r.Faults) != 1 || r.Faults[0].Pointer != want {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	})
}

// FuzzProblem holds every kind of problem, as it is written, against the document: whatever
// its texts are, it is a whole problem, and one of ours tells nothing that was not meant to be.
func FuzzProblem(f *testing.F) {
	all := slices.DeleteFunc(append(slices.Clone(kinds), internalError), func(k kind) bool { return k.status == statusGone }) // nobody is told
	for i := range all {
		f.Add(uint8(i), "detail", "parameter", "id", "/pointer", 3)
		f.Add(uint8(i), "", "\x00\xff", "<>", "/~1", 30)
		f.Add(uint8(i), "secret: dial 10.0.0.1:5432", "a\u2028\r\nSet-Cookie: x", "..", "/x/y", -1)
		f.Add(uint8(i), "\xed\xa0\x80", strings.Repeat("é", 64), "e-1", "a/b~c", 1)
	}
	d, err := loadDocument(documentYAML)
	if err != nil {
		f.Fatal(err)
	}
	schema := d.spec.Components.Schemas["Problem"].Value
	f.Fuzz(func(t *testing.T, which uint8, detail, parameter, id, pointer string, faults int) {
		k := all[int(which)%len(all)]
		r := &audit.Rejection{Kind: k.err, Detail: detail, Parameter: printable(parameter), ID: id}
		for range min(max(faults, 0), 2*audit.MaxFaults, 2+20_000/(len(pointer)+len(detail)+1)) { // long ones are slow to validate
			r.Faults = append(r.Faults, audit.Fault{Pointer: "/" + audit.EscapePointer(pointer), Detail: detail})
		}
		if k.err == nil {
			r.Kind = errors.New(detail)
		}
		c := &call{requestID: "request"}
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		w := httptest.NewRecorder()
		writeProblem(w, request.WithContext(withCall(request.Context(), c)), fmt.Errorf("%s: %w", detail, r))
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: %v", w.Body, err)
		}
		if w.Code != k.status || p.Status != k.status || p.Title != k.title || p.Detail == "" || p.RequestID != "request" || len(p.Errors) > audit.MaxFaults || c.failure == nil {
			t.Errorf("%d %+v", w.Code, p)
		}
		if p.Status >= 500 && (p.Detail != k.detail || p.Parameter+p.ID != "" || p.Errors != nil) {
			t.Errorf("a fault of ours tells: %+v", p)
		}
		if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%v", w.Header())
		}
		var value any
		if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
			t.Fatal(err)
		}
		storable := audit.ValidText(detail) && len(detail) <= audit.MaxPointer && audit.ValidText(pointer) && (p.ID == "" || audit.ValidID(p.ID))
		if err := schema.VisitJSON(value); err != nil && storable {
			t.Errorf("%s: %v", w.Body, err)
		}
	})
}

// What is free inside a body is never decoded for the schema: it would take fifty times
// its bytes. Reading around it takes three, and seven under the race detector.
func TestFreeObjectsAreNotDecoded(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromData(Document())
	if err != nil {
		t.Fatal(err)
	}
	schema := spec.Components.Schemas["NewAuditLog"].Value
	body := []byte(`{"action":"a","resourceType":"t","beforeState":{"a":[` + strings.Repeat(`{"":1},`, 1<<18) + `1]}}`)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := checkSchema(body, schema); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if bound := int64(16 * len(body)); allocated > bound {
		t.Errorf("%d bytes are allocated for a body of %d, at most %d are allowed", allocated, len(body), bound)
	}
}

func TestNamesThatSomebodyMadeUpAreRepeatedPrintable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"page": "page", "a\x00b": "a\uFFFDb", "a\xFFb": "a\uFFFDb", strings.Repeat("x", 65): strings.Repeat("x", 64),
		strings.Repeat("x", 63) + "é": strings.Repeat("x", 63) + "\uFFFD",
	} {
		if got := printable(name); got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
}

func TestARemedyNamesNoPatternThatAnyTextFits(t *testing.T) {
	t.Parallel()
	d, err := loadDocument(documentYAML)
	if err != nil {
		t.Fatal(err)
	}
	action := d.spec.Components.Parameters["ActionFilter"].Value.Schema.Value
	if got := takes(action); got != "takes a string of 0 to 200 characters" {
		t.Error(got)
	}
}
