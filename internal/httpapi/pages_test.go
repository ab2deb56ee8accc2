package httpapi_test

import (
	"bufio"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ocore.dev/audit/docs"
	"ocore.dev/audit/internal/audit"
	reference "ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
	"ocore.dev/audit/internal/viewer"
)

// call is a request as a page shows it, with the answer that follows, if one does.
var call = regexp.MustCompile("(?s)```http\n(.*?)```\n(?:\n```json\n(.*?)```)?")

// TestTheExamplesOfProblemsAreReal sends what each page shows, word for word.
func TestTheExamplesOfProblemsAreReal(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	tokens := strings.NewReplacer(
		"$TOKEN", testkit.Token(t, ada),
		"$EMITTER_TOKEN", testkit.Token(t, as(audit.CreateAuditLogs)),
	)
	names, err := fs.Glob(docs.Files, "problems/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var never []string // those that no request causes
	for _, name := range names {
		text, err := fs.ReadFile(docs.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		examples := call.FindAllStringSubmatch(string(text), -1)
		if len(examples) == 0 {
			never = append(never, name)
		}
		for _, example := range examples {
			a := sendRaw(t, outside(s).URL, tokens.Replace(example[1]))
			if example[2] == "" {
				if a.status >= 300 {
					t.Errorf("%s: %s: %d %s", name, example[1], a.status, a.body)
				}
				continue
			}
			want, got := withoutID(t, example[2]), withoutID(t, a.body)
			if float64(a.status) != want["status"] || !reflect.DeepEqual(want, got) {
				t.Errorf("%s: %s\nis answered\n%s\nnot\n%s", name, example[1], a.body, example[2])
			}
		}
	}
	if want := []string{"problems/README.md", "problems/altered.md", "problems/internal.md", "problems/too-many-requests.md", "problems/unavailable.md"}; !slices.Equal(never, want) {
		t.Errorf("pages without a request: %q, want %q", never, want)
	}
}

func withoutID(t *testing.T, text string) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if p["requestId"] == "" {
		t.Errorf("no requestId: %s", text)
	}
	delete(p, "requestId")
	return p
}

// sendRaw sends a request as it is written, past a client that would mend it. A body that
// is shorter than its Content-Length is filled up.
func sendRaw(t *testing.T, address, request string) answer {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	head = strings.TrimSpace(head)
	if length := regexp.MustCompile(`Content-Length: (\d+)`).FindStringSubmatch(head); length != nil {
		n, _ := strconv.Atoi(length[1])
		body += strings.Repeat(" ", n-len(body))
	} else if body != "" {
		head += "\nContent-Length: " + strconv.Itoa(len(body))
	}
	head += "\nHost: 127.0.0.1\nConnection: close\n\n"
	connection, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	go io.Copy(connection, io.MultiReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n")), strings.NewReader(body))) // may be cut short by the answer
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func TestThePagesStandBesideTheOperations(t *testing.T) {
	t.Parallel()
	s := outside(serve(t, &brittle{}, io.Discard)) // neither a token nor a database
	nobody := audit.Principal{}
	for _, path := range []string{"/docs", "/docs/guides", "/docs/problems/conflict", "/docs/assets/swagger-ui-bundle.js"} {
		a := get(t, s, nobody, path)
		if a.status != http.StatusOK || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
	for _, path := range []string{"/docs/nothing", "/docs/guides/nothing", "/docs/assets", "/docs/assets/", "/docs/problems/README", "/docsx", "/api/docs"} {
		get(t, s, nobody, path).problem(t, http.StatusNotFound)
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodOptions} {
		for _, path := range []string{"/docs", "/docs/", "/docs/nothing"} {
			a := send(t, s, nobody, method, path, "")
			if a.problem(t, http.StatusMethodNotAllowed); a.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, a.header.Get("Allow"))
			}
		}
	}
}

func TestTheBareAddressLeadsToThePages(t *testing.T) {
	t.Parallel()
	for want, viewer := range map[string]func(http.Handler) http.Handler{"docs": nil, "ui/": viewer.Handler} {
		handler, err := httpapi.New(httpapi.Options{
			Service: audit.NewService(&brittle{}), Authenticator: trusting{}, Docs: reference.Handler, Viewer: viewer, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		for method, status := range map[string]int{http.MethodGet: http.StatusFound, http.MethodHead: http.StatusFound, http.MethodPost: http.StatusMethodNotAllowed} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
			if w.Code != status || status == http.StatusFound && w.Header().Get("Location") != want {
				t.Errorf("%s /: %d to %q, want %d to %q", method, w.Code, w.Header().Get("Location"), status, want)
			}
		}
	}
}
