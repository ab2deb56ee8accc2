package trail_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/testkit"
)

// Record an entry, send it again, and read what happened to the resource.
func Example() {
	address, token, stop := serve()
	defer stop()

	// One client for the whole program. The source is asked for every attempt.
	c, err := trail.New(address, trail.WithTokenSource(func(context.Context) (string, error) { return token, nil }))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	entry := trail.Entry{
		ID: trail.NewID(), Action: "server.updated", ResourceType: "server", ResourceID: "web-01", UserID: "ada",
		BeforeState: map[string]any{"memoryGiB": 4},
		AfterState:  map[string]any{"memoryGiB": 8},
	}
	stored, err := c.Record(ctx, entry)
	if err != nil {
		log.Fatal(err)
	}
	again, err := c.Record(ctx, entry) // after a restart, perhaps
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored at", stored.Position, "and still at", again.Position)

	entry.UserID = "grace"
	_, err = c.Record(ctx, entry)
	fmt.Println("other content under the same id is a conflict:", errors.Is(err, trail.ErrConflict))

	for entry, err := range c.ResourceHistory(ctx, "server", "web-01") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Action, string(entry.BeforeState), string(entry.AfterState))
	}
	// Output:
	// stored at 0 and still at 0
	// other content under the same id is a conflict: true
	// server.updated {"memoryGiB":4} {"memoryGiB":8}
}

// serve starts a service for an example.
func serve() (address, token string, stop func()) {
	tb := &example{}
	s := testkit.NewService(tb)
	return s.URL, testkit.Token(tb, ada), tb.end
}

// example is a testing.TB for examples, which have none.
type example struct {
	testing.TB
	cleanups []func()
}

func (e *example) Helper()                  {}
func (e *example) Context() context.Context { return context.Background() }
func (e *example) Cleanup(f func())         { e.cleanups = append(e.cleanups, f) }
func (e *example) Fatal(args ...any)        { log.Panic(args...) }
func (e *example) Fatalf(format string, args ...any) {
	log.Panicf(format, args...)
}

func (e *example) end() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}
