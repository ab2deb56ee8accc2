package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

func TestTilesAreStoredOnceTheyAreFull(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	for _, size := range []int{255, 256, 257, 511, 512, 513} {
		for _, batch := range []int{1, 7, 100, 256, 1000} {
			if batch == 1 && size != 257 {
				continue // one by one is slow, and 257 passes what matters
			}
			organization := fmt.Sprintf("%d-by-%d", size, batch)
			for done := 0; done < size; done += batch {
				mustAppend(t, store, organization, plain(t, fmt.Sprint(done), min(batch, size-done))...)
			}
			if stored := checkTrail(t, d, organization); len(stored) != size {
				t.Errorf("%s: %d entries", organization, len(stored))
			}
		}
	}
}

// One transaction may finish several tiles, and with the last of them one of the level
// above.
func TestALevelOneTileIsStoredOverTwoHundredFiftySixTiles(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	const size = 256*256 + 300
	began := time.Now()
	for done := 0; done < size; {
		batch := min(4001, size-done)
		entries := make([]audit.Admitted, batch)
		for i := range entries {
			id := fmt.Sprint(done + i)
			entries[i] = audit.Admitted{ID: id, Action: "a", ResourceType: "r", Content: fmt.Appendf(nil, `{"id":"%s","action":"a","resourceType":"r"`, id)}
		}
		mustAppend(t, store, "acme", entries...)
		done += batch
	}
	t.Logf("%d entries in %v", size, time.Since(began))
	if stored := checkTrail(t, d, "acme"); len(stored) != size {
		t.Errorf("%d entries", len(stored))
	}
	conn := testkit.Connect(t, d.SuperuserURL)
	if n := scan[int](t, conn, "SELECT count(*) FROM tiles WHERE level = 1"); n != 1 {
		t.Errorf("%d tiles of level 1", n)
	}
}
