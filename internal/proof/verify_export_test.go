package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
)

func TestWhatAnExportShows(t *testing.T) {
	t.Parallel()
	tr := acme(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	for _, c := range []struct {
		bundles     []bundle
		runs        []proof.Run
		proven, not string
	}{
		{[]bundle{{descending(20, 0), 21}}, []proof.Run{{First: 0, Last: 20}}, "they are the whole trail as it was with 21 entries", ""},
		{[]bundle{{descending(12, 0), 21}}, []proof.Run{{First: 0, Last: 12}}, "from position 0 to 12 nothing is missing", ""},
		{[]bundle{{descending(20, 1), 21}}, []proof.Run{{First: 1, Last: 20}}, "from position 1 to 20 nothing is missing", ""},
		{[]bundle{{descending(20, 13), 21}, {descending(12, 0), 13}}, []proof.Run{{First: 0, Last: 20}}, "whole trail as it was with 21 entries, if the checkpoints belong to one history", "that the checkpoints belong to one history"},
		{[]bundle{{[]int{7}, 21}}, []proof.Run{{First: 7, Last: 7}}, "from position 7 to 7 nothing is missing", ""},
		{[]bundle{{[]int{20, 19}, 21}, {[]int{18, 16}, 21}, {[]int{0}, 1}}, []proof.Run{{First: 18, Last: 20}, {First: 16, Last: 16}, {First: 0, Last: 0}}, "they form 3 unbroken runs", "no entry between two runs"},
	} {
		export, err := verifyExport(tr.export(c.bundles...), keys)
		if err != nil {
			t.Errorf("%v: %v", c.bundles, err)
			continue
		}
		proven, not := strings.Join(export.Proven(), "\n"), strings.Join(export.NotProven(), "\n")
		if !slices.Equal(export.Runs, c.runs) || export.RunCount != int64(len(c.runs)) || export.Items != export.Total || export.Organization() != "acme" {
			t.Errorf("%v: %+v", c.bundles, export)
		}
		if !strings.Contains(proven, c.proven) || !strings.Contains(not, c.not) || strings.Contains(not, "one history") != (len(export.Checkpoints) > 1) {
			t.Errorf("%v:\n%s\nnot:\n%s", c.bundles, proven, not)
		}
	}
}

// Whoever can ask for tiles learns which entries are not those of the trail; nobody is believed
// who gives other tiles.
func TestAnAlteredEntryOfAnExportIsFound(t *testing.T) {
	t.Parallel()
	tr := acme(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	tile := func(organization string, index, width int64) ([]byte, error) {
		if organization != "acme" || index != 0 || width != 21 {
			t.Errorf("asked for tile %d of %s, %d wide", index, organization, width)
		}
		return bytes.Join(tr.hashes, nil), nil
	}
	whole := tr.export(bundle{descending(20, 0), 21})
	verify := func(text string, tile proof.Tile) error {
		_, err := proof.VerifyExportWith(strings.NewReader(text), int64(len(text)), keys, tile)
		return err
	}
	if err := verify(whole, tile); err != nil {
		t.Error(err)
	}
	altered := strings.Replace(whole, "Løvelace", "Lovelace", 1)
	twice := strings.Replace(altered, `"id":"e-7"`, `"id":"f-7"`, 1)
	hash := strings.LastIndex(altered, `"hashes":[`)
	for _, c := range []struct {
		text string
		tile proof.Tile
		says string
	}{
		{altered, tile, "position 11: this entry, as it stands here, is not in the trail"},
		{twice, tile, "position 7: this entry, as it stands here, is not in the trail: a value, a salt, the time, the position or the proof is another than it was (and so are 1 more)"},
		{altered, nil, "an export doesn't show which"},
		{altered[:hash] + `"hashes":["` + strings.Repeat("A", 43) + `="` + altered[hash+len(`"hashes":[`):], tile, "its hashes can't be those"},
		{altered, func(string, int64, int64) ([]byte, error) { return nil, io.ErrUnexpectedEOF }, "an export doesn't show which"},
		{altered, func(string, int64, int64) ([]byte, error) { return make([]byte, 20), nil }, "an export doesn't show which"},
		{altered, func(string, int64, int64) ([]byte, error) { return make([]byte, 21*32), nil }, "an export doesn't show which"},
	} {
		if err := verify(c.text, c.tile); !errors.Is(err, proof.ErrMismatch) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

// An export of the service ends with a cursor when it was too short for all.
func TestAnExportThatWasTooShortSaysSo(t *testing.T) {
	t.Parallel()
	whole := acme(t).export(bundle{descending(20, 15), 21})
	keys := mustKeys(t, current.verifier(t, "acme"))
	for _, rest := range []string{`"total":21,"nextCursor":"x","proofs"`, `"nextCursor":"x","total":21,"proofs"`} {
		export, err := verifyExport(strings.Replace(whole, `"total":6,"proofs"`, rest, 1), keys)
		if err != nil || export.Items != 6 || !strings.Contains(strings.Join(export.NotProven(), "\n"), "what is in the 15 more entries") {
			t.Errorf("%s: %+v, %v", rest, export, err)
		}
	}
}

func TestManyRunsAreCountedAndTheFirstListed(t *testing.T) {
	t.Parallel()
	tr := newTrail("acme")
	for i := range 300 {
		tr.add(t, mustAdmit(t, audit.Draft{ID: fmt.Sprintf("e-%d", i), Action: "a", ResourceType: "b"}), "back-office", firstTime, time.Time{})
	}
	var odd []int
	for p := 299; p > 0; p -= 2 {
		odd = append(odd, p)
	}
	export, err := verifyExport(tr.export(bundle{odd, 300}), mustKeys(t, current.verifier(t, "acme")))
	if err != nil || export.RunCount != 150 || len(export.Runs) != 100 || export.Runs[99] != (proof.Run{First: 101, Last: 101}) {
		t.Errorf("%d runs, %d listed, %v", export.RunCount, len(export.Runs), err)
	}
}

// live is a file that says how much memory its reader holds on to.
type live struct {
	io.ReaderAt
	read, looked int64
	most         uint64
}

func (l *live) ReadAt(to []byte, at int64) (int, error) {
	if l.read += int64(len(to)); l.read-l.looked > 2<<20 {
		l.looked = l.read
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		l.most = max(l.most, stats.HeapAlloc)
	}
	return l.ReaderAt.ReadAt(to, at)
}

// An export may be larger than memory. Not parallel, since it looks at the heap.
func TestAnExportIsNeverHeldWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "export.json")
	key := current.verifier(t, "acme")
	func() { // what made the file is gone afterwards
		tr := newTrail("acme")
		state := []byte(`{"k":"` + strings.Repeat("x", 20_000) + `"}`)
		const rows, step = 1500, 150
		for i := range rows {
			tr.add(t, mustAdmit(t, audit.Draft{ID: fmt.Sprintf("e-%d", i), Action: "a", ResourceType: "b", AfterState: state}), "back-office", firstTime, time.Time{})
		}
		var all []bundle
		for high := rows - 1; high > 0; high -= step {
			all = append(all, bundle{descending(high, high-step+1), rows})
		}
		if err := os.WriteFile(path, []byte(tr.export(all...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	watched := &live{ReaderAt: file}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	export, err := proof.VerifyExport(watched, info.Size(), mustKeys(t, key))
	if err != nil || export.Items != 1500 {
		t.Fatalf("%d items, %v", export.Items, err)
	}
	held := int64(watched.most) - int64(before.HeapAlloc)
	t.Logf("%d MiB were verified with %d KiB held", info.Size()>>20, held>>10)
	if held > info.Size()/8 {
		t.Errorf("%d of %d bytes were held at once", held, info.Size())
	}
}

// broken is a disk that fails.
type broken struct{ io.ReaderAt }

var errDisk = errors.New("the disk fails")

func (b broken) ReadAt(to []byte, at int64) (int, error) {
	if at > 5000 {
		return 0, errDisk
	}
	return b.ReaderAt.ReadAt(to[:min(len(to), 1000)], at)
}

func TestAFailureToReadIsNoVerdict(t *testing.T) {
	t.Parallel()
	text := acme(t).export(bundle{descending(20, 0), 21})
	_, err := proof.VerifyExport(broken{strings.NewReader(text)}, int64(len(text)), mustKeys(t, current.verifier(t, "acme")))
	if !errors.Is(err, errDisk) || errors.Is(err, proof.ErrMalformed) || errors.Is(err, proof.ErrMismatch) {
		t.Error(err)
	}
}

func BenchmarkVerifyExport(b *testing.B) {
	tr := newTrail("acme")
	state := []byte(`{"memoryGiB":4.0,"name":"web-01","region":"eu-central","tags":["a","b","c"]}`)
	for i := range 1000 {
		draft := audit.Draft{ID: fmt.Sprintf("e-%d", i), Action: "server.updated", ResourceType: "server", ResourceID: "web-01", UserID: "ada", IPAddress: "192.0.2.14", BeforeState: state, AfterState: state}
		tr.add(b, mustAdmit(b, draft), "back-office", firstTime, time.Time{})
	}
	text, keys := tr.export(bundle{descending(999, 0), 1000}), mustKeys(b, current.verifier(b, "acme"))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifyExport(text, keys); err != nil {
			b.Fatal(err)
		}
	}
}
