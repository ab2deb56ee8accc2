package trail_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/testkit"
)

func openSpool(t testing.TB, dir string, c *trail.Client, o trail.SpoolOptions) *trail.Spool {
	t.Helper()
	spool, err := trail.OpenSpool(dir, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return spool
}

func closeSpool(t testing.TB, spool *trail.Spool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := spool.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// stored are the ids of a trail, oldest first.
func stored(t testing.TB, c *trail.Client) []string {
	t.Helper()
	var ids []string
	for entry, err := range c.Walk(t.Context(), trail.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, entry.ID)
	}
	slices.Reverse(ids)
	return ids
}

// nobody is a client of a service that isn't there.
func nobody(t testing.TB) *trail.Client {
	t.Helper()
	c, err := trail.New("http://127.0.0.1:1/api", trail.WithToken("none"), trail.WithAttempts(1), trail.WithBackOff(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASpoolSendsInOrderWhatWasTakenWhileNobodyAnswered(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	dir := t.TempDir()
	failed := make(chan error, 1)
	first := openSpool(t, dir, nobody(t), trail.SpoolOptions{Failed: func(err error) {
		select {
		case failed <- err:
		default:
		}
	}})
	var ids []string
	record := func(spool *trail.Spool, n int) {
		t.Helper()
		for range n {
			id, err := spool.Record(login("ada"))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	record(first, 2500)
	if err := <-failed; err == nil {
		t.Fatal("nobody answered, and nothing failed")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Close(ended); !errors.Is(err, context.Canceled) || first.Waiting() == 0 {
		t.Fatalf("closed with %d bytes waiting: %v", first.Waiting(), err)
	}
	second := openSpool(t, dir, direct(t, s, ada), trail.SpoolOptions{Sync: true})
	record(second, 10)
	if err := second.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, direct(t, s, ada)); !slices.Equal(got, ids) {
		t.Fatalf("%d entries are stored in some order, %d were taken", len(got), len(ids))
	}
	record(second, 5)
	closeSpool(t, second)
	if got := stored(t, direct(t, s, ada)); !slices.Equal(got, ids) {
		t.Fatalf("%d entries are stored in some order, %d were taken", len(got), len(ids))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.spool")); len(left) > 0 || second.Waiting() != 0 {
		t.Errorf("left %v, %d bytes", left, second.Waiting())
	}
	if _, err := second.Record(login("ada")); err == nil {
		t.Error("a closed spool took an entry")
	}
}

func TestAFullSpoolSaysSo(t *testing.T) {
	t.Parallel()
	spool := openSpool(t, t.TempDir(), nobody(t), trail.SpoolOptions{MaxBytes: 10_000})
	taken := 0
	for {
		if _, err := spool.Record(login("ada")); errors.Is(err, trail.ErrSpoolFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		taken++
	}
	if taken == 0 || spool.Waiting() > 10_000 {
		t.Fatalf("took %d entries, %d bytes", taken, spool.Waiting())
	}
	if _, err := spool.Record(trail.Entry{Action: "a.b", ResourceType: strings.Repeat("x", 2<<20)}); err == nil || errors.Is(err, trail.ErrSpoolFull) {
		t.Fatalf("an entry that can never be stored: %v", err)
	}
}

func TestWhatIsRefusedIsKeptAndDoesNotKeepOthersBack(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	dir := t.TempDir()
	var mu sync.Mutex
	refused := map[string]*trail.Problem{}
	spool := openSpool(t, dir, direct(t, s, ada), trail.SpoolOptions{Refused: func(entry []byte, p *trail.Problem) {
		mu.Lock()
		defer mu.Unlock()
		var e struct{ ID string }
		if json.Unmarshal(entry, &e) == nil {
			refused[e.ID] = p
		}
	}})
	var good []string
	for i := range 50 {
		e := login("ada")
		e.ID = fmt.Sprint("entry-", i)
		switch i % 20 {
		case 7:
			e.Action = ""
		case 9:
			e.ID = "no id of ours"
		default:
			good = append(good, e.ID)
		}
		if _, err := spool.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	closeSpool(t, spool)
	if got := stored(t, direct(t, s, ada)); !slices.Equal(got, good) {
		t.Fatalf("stored %v, want %v", got, good)
	}
	if len(refused) != 4 || refused["entry-7"] == nil || !errors.Is(refused["entry-7"], trail.ErrBadRequest) {
		t.Errorf("refused: %v", refused)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "refused.ndjson"))
	if err != nil || strings.Count(string(kept), "\n") != 6 || !strings.Contains(string(kept), `"id":"entry-7"`) {
		t.Errorf("%v: %s", err, kept)
	}
}

func TestAFolderIsOneSpoolsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spool := openSpool(t, dir, nobody(t), trail.SpoolOptions{})
	if _, err := trail.OpenSpool(dir, nobody(t), trail.SpoolOptions{}); err == nil {
		t.Fatal("two spools of one folder")
	}
	closeSpool(t, spool)
	closeSpool(t, openSpool(t, dir, nobody(t), trail.SpoolOptions{}))
}

func TestALineThatWasCutIsNoEntry(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	dir := t.TempDir()
	whole, err := trail.Entry{ID: "whole", Action: "a.b", ResourceType: "c"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole) + "\n" + `{"id":"cut","action":"a.b","resour`
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.spool", 3)), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spool := openSpool(t, dir, direct(t, s, ada), trail.SpoolOptions{})
	if _, err := spool.Record(trail.Entry{ID: "next", Action: "a.b", ResourceType: "c"}); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, spool)
	if got := stored(t, direct(t, s, ada)); !slices.Equal(got, []string{"whole", "next"}) {
		t.Fatal(got)
	}
}

// spoolingChild makes this test binary an application that records and is killed: folder,
// URL and token follow it.
const spoolingChild = "record-for-ever"

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == spoolingChild {
		recordForEver(os.Args[2], os.Args[3], os.Args[4])
	}
	testkit.Main(m)
}

// recordForEver tells an id once the spool has taken it.
func recordForEver(dir, url, token string) {
	c, err := trail.New(url, trail.WithToken(token), trail.WithBackOff(time.Millisecond, 100*time.Millisecond))
	if err != nil {
		panic(err)
	}
	spool, err := trail.OpenSpool(dir, c, trail.SpoolOptions{})
	if err != nil {
		panic(err)
	}
	for {
		id, err := spool.Record(login("ada"))
		if err == nil {
			fmt.Println(id)
		} else if !errors.Is(err, trail.ErrSpoolFull) {
			panic(err)
		}
	}
}

// However often the application is killed: what its spool took is stored, once.
func TestASpoolSurvivesItsApplication(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	dir := t.TempDir()
	var taken []string
	for round := range 8 {
		taken = append(taken, killAfter(t, s, dir, time.Duration(20+rand.IntN(200))*time.Millisecond)...)
		if round == 0 && len(taken) == 0 {
			t.Log("killed before the first entry")
		}
	}
	closeSpool(t, openSpool(t, dir, direct(t, s, ada), trail.SpoolOptions{}))
	got := stored(t, direct(t, s, ada))
	known := map[string]bool{}
	for _, id := range got {
		if known[id] {
			t.Fatalf("%s is stored twice", id)
		}
		known[id] = true
	}
	for _, id := range taken {
		if !known[id] {
			t.Fatalf("%s was taken and isn't stored", id)
		}
	}
	if len(taken) == 0 {
		t.Fatal("nothing was taken")
	}
	t.Logf("%d taken, %d stored", len(taken), len(got))
}

func killAfter(t *testing.T, s *testkit.Service, dir string, life time.Duration) (taken []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], spoolingChild, dir, s.URL, testkit.Token(t, ada))
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	var kill *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a line that was cut was not told
		}
		if kill == nil { // its life begins with the first entry, however slowly the process started
			kill = time.AfterFunc(life, func() { _ = child.Process.Kill() })
		}
		taken = append(taken, strings.TrimSpace(line))
	}
	_ = child.Wait() // killed
	return taken
}
