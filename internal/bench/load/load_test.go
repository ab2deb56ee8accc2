package load_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/bench/load"
)

func serve(t *testing.T, handler http.HandlerFunc) load.Target {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return load.Target{Address: strings.TrimPrefix(server.URL, "http://"), Token: "a-token"}
}

func TestEveryRequestCarriesWhatItShall(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("Authorization") != "Bearer a-token" || r.URL.Query().Get("page") != "7" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Write([]byte("12345"))
	})
	request := target.Get("/list", url.Values{"page": {"7"}})
	result, err := load.Count(t.Context(), target.Address, 3, 100, func(*rand.Rand) []byte { return request })
	if err != nil {
		t.Fatal(err)
	}
	if result.Requests != 100 || calls.Load() != 100 || result.Bytes != 500 || result.Latency.TotalCount() != 100 {
		t.Errorf("%d requests, %d calls, %d bytes, %d latencies", result.Requests, calls.Load(), result.Bytes, result.Latency.TotalCount())
	}
}

func TestAnAnswerThatIsNoSuccessEndsTheRun(t *testing.T) {
	t.Parallel()
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such thing", http.StatusNotFound) })
	_, err := load.Closed(t.Context(), target.Address, 1, time.Minute, func(*rand.Rand) []byte { return target.Get("/x", nil) })
	if err == nil || !strings.Contains(err.Error(), "no such thing") || strings.Contains(err.Error(), "a-token") {
		t.Error(err)
	}
}

// A pause of the service must be seen by everybody who would have called meanwhile.
func TestAPauseCountsForAllWhoWouldHaveCalled(t *testing.T) {
	t.Parallel()
	const pause = 400 * time.Millisecond
	begun := time.Now()
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if since := time.Since(begun); since > 300*time.Millisecond && since < 300*time.Millisecond+pause {
			time.Sleep(300*time.Millisecond + pause - since)
		}
		w.Write([]byte("ok"))
	})
	result, err := load.Open(context.Background(), target.Address, 2, 500, time.Second, func(*rand.Rand) []byte { return target.Get("/", nil) })
	if err != nil {
		t.Fatal(err)
	}
	// Two fifths of the second's requests were due in the pause; half of those waited over
	// half of it. A client that waits for answers would have seen two slow ones of hundreds.
	if result.Requests != 500 || result.Percentile(85) < 100 {
		t.Errorf("%d requests, p85 %.1f ms", result.Requests, result.Percentile(85))
	}
}
