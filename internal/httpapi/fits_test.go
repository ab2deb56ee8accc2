package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

// sampleBodies are the operations that take one, by their ids.
func sampleBodies(tb testing.TB) map[string]operation {
	tb.Helper()
	d, err := loadDocument(documentYAML)
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string]operation{}
	for _, op := range d.operations {
		if op.body != nil {
			found[op.id] = op
		}
	}
	return found
}

const fullEntry = `{"id":"e-1","action":"a","resourceType":"t","resourceId":"1","resourceName":"n","userId":"u","userName":"Amélie \u00e9 \ud83e\udd86","ipAddress":"::1",` +
	`"userAgent":"x \"y\" \u0001","beforeState":{"a":[1.0,{"b":null}]},"afterState":{},"occurredAt":"2026-11-23T06:05:00Z"}`

// Nothing is gained when entries as they are usually sent need the validator after all.
func TestUsualEntriesFitWithoutTheValidator(t *testing.T) {
	t.Parallel()
	ops := sampleBodies(t)
	for _, entry := range []string{fullEntry, `{"action":"a","resourceType":"t"}`, `{"resourceType":"` + strings.Repeat("t", 100) + `","action":"\u00e9"}`} {
		if !ops["createAuditLog"].fits([]byte(entry)) || !ops["createAuditLogBatch"].fits([]byte(`{"items":[`+entry+`,`+entry+`]}`)) {
			t.Errorf("%s needs the validator", entry)
		}
	}
	for _, other := range []string{
		`{}`, `{"action":"a"}`, `{"action":"","resourceType":"t"}`, `{"action":null,"resourceType":"t"}`, `{"action":"a","resourceType":"t","x":"y"}`,
		`{"id":"é","action":"a","resourceType":"t"}`, `{"action":"a","resourceType":"t","afterState":[]}`, `{"action":"a","resourceType":"` + strings.Repeat("t", 101) + `"}`,
	} {
		if ops["createAuditLog"].fits([]byte(other)) || ops["createAuditLogBatch"].fits([]byte(`{"items":[`+fullEntry+`,`+other+`]}`)) {
			t.Errorf("%s fits", other)
		}
	}
	many := `{"items":[` + strings.Repeat(fullEntry+",", audit.MaxBatch) + fullEntry + `]}`
	if batch := ops["createAuditLogBatch"]; batch.fits([]byte(many)) || batch.fits([]byte(`{"items":[]}`)) {
		t.Error("a batch fits that has too many entries, or none")
	}
}

// FuzzFit holds what is taken without the validator against the validator, and what handlers
// are handed against encoding/json.
func FuzzFit(f *testing.F) {
	for _, body := range []string{
		fullEntry, `{"items":[` + fullEntry + `,{"action":"a","resourceType":"t"}]}`, `{"items":[]}`, `{"items":[{}]}`, `{"items":[null,1,"x",[]]}`, `{"items":{}}`,
		`{"action":"a","resourceType":"t","afterState":{"a":1,"a":2}}`, `{"action":"\ud83e\udd86","resourceType":"🦆"}`, `{"action":1,"resourceType":[]}`,
		`{"id":"a\u0062","action":"a","resourceType":"t"}`, `{"\u0061ction":"a","resourceType":"t"}`, `{"Action":"a","resourceType":"t"}`,
		`{"name":"n","permissions":["view:audit_logs"],"expiresAt":"2027-01-01T00:00:00Z"}`, `{"name":"n","permissions":[]}`, `{"action":"a","details":{}}`,
	} {
		f.Add([]byte(body))
	}
	ops := sampleBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		compact, err := audit.CompactObject(nil, body, bodyDepth)
		if err != nil && !toldLater(err) {
			return
		}
		for id, op := range ops {
			if !op.fits(compact) {
				continue
			}
			if err := checkSchema(compact, op.body); err != nil {
				t.Fatalf("%s takes %s, the validator doesn't: %v", id, compact, err)
			}
			var got, want any
			switch id {
			case "createAuditLog":
				got, want = new(api.NewAuditLog), new(api.NewAuditLog)
			case "createAuditLogBatch":
				got, want = new(api.NewAuditLogBatch), new(api.NewAuditLogBatch)
			default:
				continue
			}
			if err := json.Unmarshal(compact, want); err != nil {
				t.Fatalf("%s: %v", compact, err)
			}
			r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			r = r.WithContext(withCall(r.Context(), &call{body: compact}))
			if err := (binder{}).Deserialize(echo.New().NewContext(r, nil), got); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s is handed on as %+v, want %+v; %v", compact, got, want, err)
			}
		}
	})
}
