package trail_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

var ada = testkit.Member("acme")

// connect makes a client of the service at url, whose pauses are short.
func connect(t testing.TB, url string, by audit.Principal, options ...trail.Option) *trail.Client {
	t.Helper()
	all := append([]trail.Option{trail.WithToken(testkit.Token(t, by)), trail.WithBackOff(time.Millisecond, 5*time.Second)}, options...)
	c, err := trail.New(url, all...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// direct makes a client whose answers are held against both documents.
func direct(t testing.TB, s *testkit.Service, by audit.Principal) *trail.Client {
	t.Helper()
	return connect(t, s.URL, by, trail.WithHTTPClient(s.HTTP))
}

// fault is what befalls one request instead of its answer. forward passes the request on and
// returns the service's answer.
type fault func(w http.ResponseWriter, forward func() *http.Response)

// flaky stands between a client and a service. Requests meet its faults, one each in turn,
// and then nothing any more.
type flaky struct {
	t      testing.TB
	target string
	faults []fault

	mu     sync.Mutex
	bodies []string // of the requests that came
	tokens []string
	urls   []string
}

// between starts such a proxy and returns it with its base URL.
func between(t testing.TB, s *testkit.Service, faults ...fault) (*flaky, string) {
	t.Helper()
	f := &flaky{t: t, target: strings.TrimSuffix(s.URL, "/api"), faults: faults}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL + "/api"
}

// asked waits until the first request is there.
func asked(t testing.TB, f *flaky) {
	testkit.Eventually(t, "a request comes", func() bool { return f.requests() > 0 })
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	f.mu.Lock()
	f.bodies, f.tokens, f.urls = append(f.bodies, string(body)), append(f.tokens, r.Header.Get("Authorization")), append(f.urls, r.URL.String())
	befalls := pass
	if n := len(f.bodies) - 1; n < len(f.faults) {
		befalls = f.faults[n]
	}
	f.mu.Unlock()
	befalls(w, func() *http.Response {
		onward, err := http.NewRequest(r.Method, f.target+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			f.t.Error(err)
			panic(http.ErrAbortHandler)
		}
		onward.Header = r.Header.Clone()
		response, err := http.DefaultTransport.RoundTrip(onward)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		return response
	})
}

// requests is how many requests came so far.
func (f *flaky) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.bodies)
}

func copyHeader(w http.ResponseWriter, response *http.Response) {
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
}

// pass is no fault.
func pass(w http.ResponseWriter, forward func() *http.Response) {
	response := forward()
	defer response.Body.Close()
	copyHeader(w, response)
	io.Copy(w, response.Body)
}

// dropped lets the service do its work and loses the answer.
func dropped(_ http.ResponseWriter, forward func() *http.Response) {
	response := forward()
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	panic(http.ErrAbortHandler)
}

// lateBy lets the service do its work and answers too late.
func lateBy(d time.Duration) fault {
	return func(w http.ResponseWriter, forward func() *http.Response) {
		response := forward()
		response.Body.Close()
		time.Sleep(d)
	}
}

// halved passes on half of an answer and cuts the connection.
func halved(w http.ResponseWriter, forward func() *http.Response) {
	response := forward()
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	response.Header.Del("Content-Length")
	copyHeader(w, response)
	w.Write(body[:len(body)/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// unmarked answers half of the truth in a form whose end is the connection's.
func unmarked(w http.ResponseWriter, forward func() *http.Response) {
	response := forward()
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\nX-Total-Count: %s\r\n\r\n%s",
		response.Header.Get("Content-Type"), response.Header.Get("X-Total-Count"), body[:len(body)/2])
	conn.(*net.TCPConn).CloseWrite()
}

// refuses answers a status with headers, names and values in turn, and no problem document.
func refuses(status int, headers ...string) fault {
	return func(w http.ResponseWriter, _ func() *http.Response) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, "<html>a proxy's page</html>")
	}
}

// login is a minimal entry.
func login(user string) trail.Entry {
	return trail.Entry{Action: "auth.login", ResourceType: "session", UserID: user}
}

// total is how many entries the trail has.
func total(t testing.TB, s *testkit.Service) int64 {
	t.Helper()
	list, err := direct(t, s, ada).List(t.Context(), trail.Filter{}, trail.Page{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	return list.Total
}
