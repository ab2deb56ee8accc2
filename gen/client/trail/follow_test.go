package trail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/testkit"
)

// cutAfter passes on so many bytes of an answer and then breaks off.
func cutAfter(n int64) fault {
	return func(w http.ResponseWriter, forward func() *http.Response) {
		response := forward()
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		for left := n; left > 0; left-- { // byte by byte: what isn't there yet must not hold back what is
			if _, err := io.CopyN(w, response.Body, 1); err != nil {
				break
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				break
			}
		}
		panic(http.ErrAbortHandler)
	}
}

func TestFollowingSurvivesCutsWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	recorder := connect(t, s.URL, ada)
	record := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := recorder.Record(t.Context(), trail.Entry{ID: fmt.Sprint("e-", i), Action: fmt.Sprint("action.", i%3), ResourceType: "t"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	record(0, 10)
	_, url := between(t, s, cutAfter(0), cutAfter(30), cutAfter(100), cutAfter(777), cutAfter(900), cutAfter(1500), cutAfter(2000), cutAfter(1<<30))
	t.Cleanup(s.Drain) // before the proxy closes, which waits for what it passes on
	next := 0
	for entry, err := range connect(t, url, ada).Follow(t.Context(), trail.Filter{ExcludeAction: []string{"action.1"}}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if next%3 == 1 {
			next++
		}
		if entry.ID != fmt.Sprint("e-", next) {
			t.Fatalf("%s arrived, and e-%d was next", entry.ID, next)
		}
		if next++; next == 6 {
			record(10, 30)
		}
		if next == 30 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for entry, err := range recorder.Follow(ctx, trail.Filter{}, 29) {
		if err == nil && entry.ID == "e-29" {
			cancel()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", entry, err)
		}
	}
	for _, err := range recorder.Follow(t.Context(), trail.Filter{}, 31) {
		if !errors.Is(err, trail.ErrBadRequest) {
			t.Errorf("behind the end: %v", err)
		}
	}
}
