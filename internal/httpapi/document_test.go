package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

var loadSpec = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(httpapi.Document())
})

// spec is the document; tests only read it.
func spec(t testing.TB) *openapi3.T {
	t.Helper()
	document, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// eachOperation calls do for every operation of the document.
func eachOperation(t testing.TB, do func(method, path string, o *openapi3.Operation)) {
	t.Helper()
	for path, item := range spec(t).Paths.Map() {
		for method, o := range item.Operations() {
			do(method, path, o)
		}
	}
}

func TestTheEmbeddedDocumentIsTheRepositorys(t *testing.T) {
	t.Parallel()
	if text(t, "../../openapi.yaml") != string(httpapi.Document()) {
		t.Error("internal/httpapi/openapi.yaml is stale: run make generate")
	}
}

// The newer rendering says the same: nothing but the version and how schemas show examples
// differs.
func TestTheNewerRenderingSaysTheSame(t *testing.T) {
	t.Parallel()
	newer, err := openapi3.NewLoader().LoadFromData([]byte(text(t, "openapi-3.1.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if newer.OpenAPI != "3.1.1" {
		t.Errorf("openapi: %s", newer.OpenAPI)
	}
	older := spec(t)
	if !reflect.DeepEqual(tree(t, newer.Info), tree(t, older.Info)) || !reflect.DeepEqual(tree(t, newer.Servers), tree(t, older.Servers)) {
		t.Error("another introduction or other servers")
	}
	if !reflect.DeepEqual(withoutExamples(tree(t, newer.Paths)), withoutExamples(tree(t, older.Paths))) {
		t.Error("other paths")
	}
	if !reflect.DeepEqual(withoutExamples(tree(t, newer.Components)), withoutExamples(tree(t, older.Components))) {
		t.Error("other components")
	}
}

func tree(t *testing.T, part any) (value any) {
	t.Helper()
	encoded, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func withoutExamples(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, member := range value {
			if name != "example" && name != "examples" {
				kept[name] = withoutExamples(member)
			}
		}
		return kept
	case []any:
		kept := make([]any, 0, len(value))
		for _, element := range value {
			kept = append(kept, withoutExamples(element))
		}
		return kept
	}
	return value
}

func text(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestTheDocumentIsServedInBothForms(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	host := strings.TrimSuffix(s.URL, httpapi.BasePath)
	fetch := func(path string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, s, r)
	}
	yaml, object, newer := fetch("/openapi.yaml"), fetch("/openapi.json"), fetch("/openapi-3.1.yaml")
	if yaml.status != 200 || yaml.header.Get("Content-Type") != "application/yaml" || yaml.body != string(httpapi.Document()) {
		t.Errorf("openapi.yaml: %d %v", yaml.status, yaml.header)
	}
	if object.status != 200 || object.header.Get("Content-Type") != "application/json" {
		t.Errorf("openapi.json: %d %v", object.status, object.header)
	}
	if newer.status != 200 || newer.header.Get("Content-Type") != "application/yaml" || newer.body != text(t, "../../gen/openapi-3.1.yaml") {
		t.Errorf("openapi-3.1.yaml: %d %v", newer.status, newer.header)
	}
	fromYAML, err := spec(t).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if json.Unmarshal(fromYAML, &want) != nil || json.Unmarshal([]byte(object.body), &got) != nil || !reflect.DeepEqual(want, got) {
		t.Error("openapi.json and openapi.yaml have different contents")
	}
}

func TestTheDocumentIsValidWithItsExamples(t *testing.T) {
	t.Parallel()
	if err := spec(t).Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

func TestEveryOperationIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		at := method + " " + path
		if o.OperationID == "" || seen[o.OperationID] {
			t.Errorf("%s: operationId %q is empty or another's", at, o.OperationID)
		}
		seen[o.OperationID] = true
		if permission, _ := o.Extensions["x-required-permission"].(string); permission == "" || !strings.Contains(o.Description, "`"+permission+"`") {
			t.Errorf("%s: the description doesn't name the permission %q", at, permission)
		}
		if o.Summary == "" || len(o.Tags) != 1 {
			t.Errorf("%s: no summary, or not one tag", at)
		}
		for _, status := range []int{400, 401, 403, 429, 500, 503} {
			if o.Responses.Status(status) == nil {
				t.Errorf("%s: no answer %d", at, status)
			}
		}
		if o.RequestBody != nil {
			hasExamples(t, at+" body", o.RequestBody.Value.Content)
			for _, status := range []int{409, 413, 415, 422} {
				if o.Responses.Status(status) == nil && (status != 409 || o.Tags[0] != "Keys") { // whose ids are the service's
					t.Errorf("%s: no answer %d", at, status)
				}
			}
		}
		for status, response := range o.Responses.Map() {
			hasExamples(t, at+" "+status, response.Value.Content)
			if header := response.Value.Headers["X-Request-Id"]; header == nil {
				t.Errorf("%s %s: no X-Request-Id", at, status)
			}
			if status >= "4" && response.Value.Content.Get("application/problem+json") == nil {
				t.Errorf("%s %s: no problem", at, status)
			}
		}
		for _, p := range o.Parameters {
			if p.Value.Description == "" || p.Value.Example == nil {
				t.Errorf("%s: %s has no description or example", at, p.Value.Name)
			}
		}
	})
}

func hasExamples(t *testing.T, at string, content openapi3.Content) {
	t.Helper()
	for kind, media := range content {
		if len(media.Examples) == 0 && media.Example == nil {
			t.Errorf("%s: no example of %s", at, kind)
		}
	}
}

func TestTheDocumentStatesTheBoundsThatAreKept(t *testing.T) {
	t.Parallel()
	schemas, parameters := spec(t).Components.Schemas, spec(t).Components.Parameters
	items := func(schema, property string) uint64 {
		return *schemas[schema].Value.Properties[property].Value.MaxItems
	}
	for name, bound := range map[string][2]uint64{
		"per_page":                 {uint64(*parameters["PageSize"].Value.Schema.Value.Max), audit.MaxPerPage},
		"items of a list":          {items("AuditLogList", "items"), audit.MaxPerPage},
		"items of a batch":         {items("NewAuditLogBatch", "items"), audit.MaxBatch},
		"receipts of a batch":      {items("AuditLogReceiptList", "items"), audit.MaxBatch},
		"items of an export":       {items("AuditLogExport", "items"), audit.MaxExport},
		"faults of a problem":      {items("Problem", "errors"), audit.MaxFaults},
		"least items of a batch":   {schemas["NewAuditLogBatch"].Value.Properties["items"].Value.MinItems, 1},
		"limit of the admin trail": {uint64(*adminLimit(t)), 100},
		"bytes of an entry":        {256 << 10, audit.MaxEntryBytes},
		"bytes of a body":          {8 << 20, audit.MaxBodyBytes},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: the document says %d, the service %d", name, bound[0], bound[1])
		}
	}
	defaults := fmt.Sprintf("means %d", audit.DefaultPerPage)
	if !strings.Contains(parameters["PageSize"].Value.Description, defaults) {
		t.Errorf("per_page: the description doesn't say %q", defaults)
	}
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		if o.RequestBody == nil || o.Tags[0] == "Keys" { // which takes no entries
			return
		}
		for _, bound := range []string{
			strconv.Itoa(audit.MaxBodyBytes>>20) + " MiB", strconv.Itoa(audit.MaxEntryBytes>>10) + " KiB",
			strconv.Itoa(audit.MaxDepth) + " levels", strconv.Itoa(audit.MaxNumber) + " characters", "up to " + strconv.Itoa(audit.MaxFaults),
		} {
			if !strings.Contains(o.Description, bound) {
				t.Errorf("%s %s: the description doesn't say %q", method, path, bound)
			}
		}
	})
}

func adminLimit(t *testing.T) *float64 {
	t.Helper()
	return spec(t).Paths.Value("/admin/audit-logs").Get.Parameters.GetByInAndName("query", "limit").Schema.Value.Max
}
