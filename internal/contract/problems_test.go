package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// provocation is a call that gets the problem that an example shows.
type provocation struct {
	by        audit.Principal
	operation string
	path      string // below the base path, with its query
	body      string
	headers   []string                               // names and values in turn
	before    func(t *testing.T, s *testkit.Service) // on a service that this problem has to itself
	start     func(testing.TB) *testkit.Service      // if it takes another service
	http10    bool                                   // which net/http's client doesn't speak
	limit     httpapi.Limit                          // of the caller, who then calls until there are too many
}

const minimal = `{"action":"server.updated","resourceType":"server","resourceId":"web-01"}`

// provocations are by response component and example.
var provocations = map[string]provocation{
	"BadRequest/pageTooLarge":     {by: ada, operation: "listAuditLogs", path: "/audit-logs?per_page=1001"},
	"BadRequest/unknownParameter": {by: ada, operation: "listAuditLogs", path: "/audit-logs?userId=ada%40acme.example"},
	"BadRequest/badDate":          {by: ada, operation: "exportAuditLogs", path: "/audit-logs/export?start_date=yesterday"},
	"BadRequest/unknownMember": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs",
		body: `{"action":"auth.login","resourcetype":"session"}`,
	},
	"BadRequest/proofOfCSV": {by: ada, operation: "exportAuditLogs", path: "/audit-logs/export?format=csv&with_proof=true"},
	"BadRequest/sizeNotReached": {
		by: ada, operation: "getAuditLogConsistency", path: "/audit-logs/consistency?from=1&to=2",
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			post(t, s, controlPlane, "/audit-logs", json.RawMessage(minimal))
		},
	},
	"Unauthorized/tokenMissing": {by: ada, operation: "listAuditLogs", path: "/audit-logs", headers: []string{"Authorization", ""}},
	"Unauthorized/schemeMissing": {
		by: ada, operation: "listAuditLogs", path: "/audit-logs", headers: []string{"Authorization", "<token>"},
	},
	"Forbidden/permissionMissing": {by: controlPlane, operation: "listAuditLogs", path: "/audit-logs"},
	"Forbidden/otherOrganization": {by: ada, operation: "listAuditLogs", path: "/audit-logs", headers: []string{"X-Org-Slug", "globex"}},
	"NotFound/noSuchEntry":        {by: ada, operation: "getAuditLog", path: "/audit-logs/entries/01a20787-24eb-7d5a-9fd1-000000000000"},
	"NoSuchApiKey/noSuchKey":      {by: adaToo, operation: "revokeApiKey", path: "/api-keys/0000000000000000"},
	"NotFound/emptyTrail":         {by: ada, operation: "getAuditLogCheckpoint", path: "/audit-logs/checkpoint"},
	"Conflict/otherContent": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs",
		body: `{"id":"01a20787-24eb-7d5a-9fd1-2aabfe228f21","action":"server.updated","resourceType":"server","resourceId":"web-02"}`,
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			post(t, s, controlPlane, "/audit-logs", load(t).requestExample(t, "createAuditLog", "serverResized"))
		},
	},
	"ContentTooLarge/bodyTooLarge": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs", body: minimal + strings.Repeat(" ", audit.MaxBodyBytes),
	},
	"UnsupportedMediaType/notJson": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs", body: minimal, headers: []string{"Content-Type", "text/plain"},
	},
	"UnprocessableContent/twoFaults": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs",
		body: `{"action":"server.updated","resourceType":"server","afterState":{"disk":1,"disk":2},"occurredAt":"23 November 2026"}`,
	},
	"TooManyRequests/slowDown": {by: ada, operation: "listAuditLogs", path: "/audit-logs", limit: httpapi.Limit{Rate: 1, Burst: 1}},
	"InternalError/fault": {
		by: ada, operation: "listAuditLogs", path: "/audit-logs",
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			post(t, s, controlPlane, "/audit-logs", json.RawMessage(minimal))
			execute(t, s.Database.OwnerURL, "ALTER TABLE entries RENAME COLUMN entry TO renamed")
		},
	},
	"Unavailable/storageAway": {
		by: controlPlane, operation: "createAuditLog", path: "/audit-logs", body: minimal,
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			elsewhere, err := url.Parse(s.Database.SuperuserURL)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere.Path = "/postgres"
			execute(t, elsewhere.String(), "ALTER DATABASE "+s.Database.Name+" ALLOW_CONNECTIONS false")
			execute(t, elsewhere.String(), "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+s.Database.Name+"'")
		},
	},
	"Unavailable/unsigned": {
		by: ada, operation: "getAuditLogCheckpoint", path: "/audit-logs/checkpoint",
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			post(t, s, controlPlane, "/audit-logs", json.RawMessage(minimal))
			execute(t, s.Database.SuperuserURL, "BEGIN; LOCK TABLE signing_progress") // to the test's end
		},
	},
	"Altered/altered": {
		by: ada, operation: "getAuditLogProof", path: "/audit-logs/entries/01a20787-24eb-7d5a-9fd1-2aabfe228f21/proof",
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			d := load(t)
			d.fillTrails(t, s)
			for range 3 { // those of the story that come before it
				post(t, s, controlPlane, "/audit-logs", json.RawMessage(minimal))
			}
			post(t, s, controlPlane, "/audit-logs", d.requestExample(t, "createAuditLog", "serverResized"))
			execute(t, s.Database.SuperuserURL, "UPDATE entries SET entry = replace(entry, 'ada@acme.example', 'eve@acme.example') WHERE position = 1283")
		},
	},
	"Altered/fault": {
		by: ada, operation: "getAuditLogCheckpoint", path: "/audit-logs/checkpoint",
		before: func(t *testing.T, s *testkit.Service) {
			t.Helper()
			post(t, s, controlPlane, "/audit-logs", json.RawMessage(minimal))
			execute(t, s.Database.OwnerURL, "ALTER TABLE checkpoints RENAME COLUMN note TO renamed")
		},
	},
	"Unavailable/noSigningKey":        {by: ada, operation: "listAuditLogKeys", path: "/audit-logs/keys", start: testkit.NewServiceWithoutKey},
	"VersionNotSupported/oldProtocol": {by: ada, operation: "exportAuditLogs", path: "/audit-logs/export", http10: true},
}

func execute(t *testing.T, database, statement string) {
	t.Helper()
	if _, err := testkit.Connect(t, database).Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// The documented words are the words: an example is compared whole, request id and all,
// which the call sends along.
func TestEveryProblemExampleHappens(t *testing.T) {
	t.Parallel()
	d := load(t)
	shared := testkit.NewService(t)
	documented := 0
	for component, response := range d.spec.Components.Responses {
		for name, example := range response.Value.Content.Get("application/problem+json").Examples {
			documented++
			key := component + "/" + name
			p, known := provocations[key]
			if !known {
				t.Errorf("%s: nothing provokes it", key)
				continue
			}
			t.Run(key, func(t *testing.T) {
				s := shared
				switch {
				case p.start != nil:
					s = p.start(t)
				case p.before != nil:
					s = testkit.NewService(t)
					p.before(t, s)
				}
				if p.limit.Rate > 0 {
					s = testkit.ServeDatabase(t, s.Database, func(o *httpapi.Options) { o.CredentialLimit = p.limit })
				}
				a := p.provoke(t, d, s)
				for p.limit.Rate > 0 && a.status == http.StatusOK {
					a = p.provoke(t, d, s)
				}
				var got any
				if err := json.Unmarshal(a.body, &got); err != nil || !reflect.DeepEqual(got, example.Value.Value) {
					t.Errorf("\nanswers    %s\ndocumented %s", show(got), show(example.Value.Value))
				}
				documentedAs := d.operations[p.operation].Responses.Status(a.status)
				if documentedAs == nil || documentedAs.Ref != "#/components/responses/"+component {
					t.Errorf("%s doesn't document %d as %s", p.operation, a.status, component)
				}
				for header, described := range response.Value.Headers {
					if !described.Value.Required {
						continue // it depends on settings; its own tests hold it
					}
					if got := a.header.Get(header); got != fmt.Sprint(described.Value.Example) && name != "tokenMissing" {
						t.Errorf("%s is %q, documented as %v", header, got, described.Value.Example)
					}
				}
			})
		}
	}
	if documented != len(provocations) {
		t.Errorf("%d problems documented, %d provoked", documented, len(provocations))
	}
}

func (p provocation) provoke(t *testing.T, d *document, s *testkit.Service) answer {
	t.Helper()
	r := request(t, s, p.by, d.operations[p.operation].method, p.path, nil)
	if p.body != "" {
		r.Body = io.NopCloser(strings.NewReader(p.body))
		r.ContentLength = int64(len(p.body))
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(p.headers); i += 2 {
		r.Header.Set(p.headers[i], p.headers[i+1])
		if p.headers[i+1] == "" {
			r.Header.Del(p.headers[i])
		}
	}
	if !p.http10 {
		return do(t, s, r)
	}
	var headers strings.Builder
	r.Header.Write(&headers)
	return write(t, s, r.Method+" "+r.URL.RequestURI()+" HTTP/1.0\r\n"+headers.String()+"\r\n")
}

// The reference's sample calls, character for character: scheme and host, which are the
// existing service's, are all that is replaced.
var sampleCalls = []string{
	`curl -X GET "//api.ocore.dev/api/admin/audit-logs?page=0&limit=0&action=%3Cstring%3E&search=%3Cstring%3E" \
  -H "Authorization: <token>"`,
	`curl -X GET "//api.ocore.dev/api/audit-logs?page=0&per_page=0&resource_type=%3Cstring%3E&resource_id=%3Cstring%3E&action=%3Cstring%3E&user_id=%3Cstring%3E&start_date=%3Cstring%3E&end_date=%3Cstring%3E" \
  -H "Authorization: <token>"`,
	`curl -X GET "//api.ocore.dev/api/audit-logs/export?format=json&resource_type=%3Cstring%3E&action=%3Cstring%3E&start_date=%3Cstring%3E&end_date=%3Cstring%3E" \
  -H "Authorization: <token>"`,
	`curl -X GET "//api.ocore.dev/api/audit-logs/resource/<string>/<string>?page=0&per_page=0" \
  -H "Authorization: <token>"`,
}

// Pasted as they are they say what the token's header needs. With a token they work, zeros
// and all, but for a date that still says <string>: that one is named.
func TestTheReferencesSampleCallsWorkWhenPasted(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, call := range sampleCalls {
		parts := strings.Split(call, `"`)
		target := strings.TrimPrefix(parts[1], "//api.ocore.dev")
		by := ada
		if strings.Contains(target, "/admin/") {
			by = grace
		}
		pasted := raw(t, s, target, strings.TrimPrefix(parts[3], "Authorization: "))
		if !strings.Contains(string(pasted.body), "Authorization: Bearer ") || pasted.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", target, pasted.status, pasted.body)
		}
		filled := raw(t, s, target, "Bearer "+testkit.Token(t, by))
		if strings.Contains(target, "start_date") {
			var p struct{ Parameter string }
			if json.Unmarshal(filled.body, &p) != nil || p.Parameter != "start_date" || filled.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", target, filled.status, filled.body)
			}
			dated := raw(t, s, strings.ReplaceAll(target, "_date=%3Cstring%3E", "_date=2026-11-23T06:05:00Z"), "Bearer "+testkit.Token(t, by))
			empty(t, target, dated)
			continue
		}
		empty(t, target, filled)
	}
}

// empty holds a page of the four operations that nothing matches.
func empty(t *testing.T, target string, a answer) {
	t.Helper()
	var page struct {
		Items, Logs []any
		Total       *int
	}
	if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK || page.Total == nil || *page.Total != 0 || page.Items == nil && page.Logs == nil {
		t.Errorf("%s: %d %s", target, a.status, a.body)
	}
}

// raw sends a GET whose target net/http would tidy.
func raw(t *testing.T, s *testkit.Service, target, authorization string) answer {
	t.Helper()
	return write(t, s, "GET "+target+" HTTP/1.1\r\nHost: api.ocore.dev\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\nAuthorization: "+authorization+"\r\nConnection: close\r\n\r\n")
}

// write sends a request as it stands there.
func write(t *testing.T, s *testkit.Service, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), httpapi.BasePath))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, request)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
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

// These answers come from below the service, so no operation can document them: the
// document's introduction does.
func TestWhatIsNoRequestIsAnsweredAsTheIntroductionSays(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const line, host = "GET /api/audit-logs HTTP/1.1\r\n", "Host: api.ocore.dev\r\n"
	for status, request := range map[int]string{
		400: line + "\r\n",
		417: line + host + "Expect: miracles\r\n\r\n",
		431: line + host + "X-Long: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		501: line + host + "Transfer-Encoding: secret\r\n\r\n",
		505: "GET /api/audit-logs HTTP/3.0\r\n" + host + "\r\n",
	} {
		a := write(t, s, request)
		kind := a.header.Get("Content-Type")
		if a.status != status || a.header.Get("X-Request-Id") != "" || kind != "" && !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%d, want %d: %v %s", a.status, status, a.header, a.body)
		}
		if introduction := load(t).spec.Info.Description; !strings.Contains(introduction, fmt.Sprintf("a %d for", status)) {
			t.Errorf("the introduction doesn't mention the %d", status)
		}
	}
}
