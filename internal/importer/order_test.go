package importer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNamesAreInNaturalOrder(t *testing.T) {
	t.Parallel()
	want := []string{
		"01/x", "1/x", "2/1", "2/10", "2-1", "10/1", "page", "page-", "page-0", "page-01", "page-1", "page-1-2", "page-1-10",
		"page-1.json", "page-2", "page-02-b", "page-9", "page-010", "page-10", "page-11", "page-99999999999999999999",
		"page-100000000000000000000", "page-x", "page10", "pages", "é1", "é2",
	}
	for i, a := range want {
		for j, b := range want {
			got := byPath(filepath.FromSlash(a), filepath.FromSlash(b))
			if got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

const pageSize = 3

// pages are 14 files, newest first, of 42 entries in batches of five that share a time.
func pages(t *testing.T, positions bool) (folder string, files []string) {
	t.Helper()
	folder = t.TempDir()
	for page := range 14 {
		items := make([]string, pageSize)
		for i := range items {
			items[i] = pageItem(14*pageSize-1-page*pageSize-i, positions)
		}
		name := filepath.Join(folder, fmt.Sprintf("page-%d.json", page+1))
		files = append(files, write(t, name, `{"items":[`+strings.Join(items, ",")+`],"total":42}`))
	}
	return folder, files
}

func pageItem(n int, position bool) string {
	at := noon.Add(time.Duration(n/5) * time.Second).Format(time.RFC3339Nano)
	item := fmt.Sprintf(`{"id":"id-%d","action":"%d","resourceType":"t","createdAt":%q`, n, n, at)
	if position {
		item += fmt.Sprintf(`,"position":%d`, n)
	}
	return item + "}"
}

func checkPages(t *testing.T, paths []string) {
	t.Helper()
	records, rejected, err := Read(OCore, paths, nil)
	if err != nil || len(rejected) > 0 {
		t.Fatal(err, rejected)
	}
	want := make([]string, 14*pageSize)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	if got := actions(records); got != strings.Join(want, " ") {
		t.Errorf("order %s", got)
	}
}

func TestPagesWithoutPositions(t *testing.T) {
	t.Parallel()
	folder, files := pages(t, false)
	checkPages(t, []string{folder})
	checkPages(t, files)
}

func TestPagesWithPositionsInAnyOrder(t *testing.T) {
	t.Parallel()
	folder, files := pages(t, true)
	checkPages(t, []string{folder})
	checkPages(t, append(files, folder))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		checkPages(t, files)
		checkPages(t, []string{files[0], files[1], folder, files[0]})
	}
}

func TestPagesThatOverlap(t *testing.T) {
	t.Parallel()
	for _, positions := range []bool{false, true} {
		folder, files := pages(t, positions)
		again := fmt.Sprintf(`{"items":[%s,%s]}`, pageItem(38, positions), pageItem(37, positions))
		checkPages(t, []string{folder, write(t, filepath.Join(t.TempDir(), "again.json"), again)})
		checkPages(t, append(slices.Clone(files), write(t, filepath.Join(folder, "page-2-again.json"), again)))
	}
}

func TestTies(t *testing.T) {
	t.Parallel()
	item := func(action, second, position string) string {
		created := ""
		if second != "" {
			created = `,"createdAt":"2026-11-23T06:05:0` + second + `Z"`
		}
		if position != "" {
			position = `,"position":` + position
		}
		return `{"action":"` + action + `","resourceType":"t"` + created + position + "}\n"
	}
	for _, c := range []struct{ name, input, want string }{
		{"positions", item("c", "0", "10") + item("a", "0", "0") + item("b", "0", "9"), "a b c"},
		{"time before position", item("b", "1", "0") + item("a", "0", "7") + item("c", "1", "8"), "a b c"},
		{"equal positions of two trails", item("a", "0", "0") + item("b", "0", "0") + item("c", "1", "0"), "a b c"},
		{"no time", item("d", "", "4") + item("c", "", "3") + item("b", "9", "6") + item("a", "0", "9"), "a b c d"},
		{"one without position", item("a", "0", "2") + item("b", "0", "") + item("c", "0", "3"), "a b c"},
		{"one without position, newest first", item("c", "0", "2") + item("b", "0", "0") + item("a", "0", ""), "a b c"},
		{"no position is not position 0", item("a", "0", "7") + item("b", "0", ""), "a b"},
		{"no position that is a number", item("a", "0", `"x"`) + item("b", "0", "1.5") + item("c", "0", "null"), "a b c"},
	} {
		records, rejected := read(t, NDJSON, c.input)
		if got := actions(records); got != c.want || len(rejected) > 0 {
			t.Errorf("%s: order %s, rejected %+v", c.name, got, rejected)
		}
	}
}

func symlink(t *testing.T, target, link string) string {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestFoldersOfLinks(t *testing.T) {
	t.Parallel()
	_, files := pages(t, false)
	folder := t.TempDir()
	for _, file := range files {
		symlink(t, file, filepath.Join(folder, filepath.Base(file)))
	}
	symlink(t, "page-14.json", filepath.Join(folder, "twice"))
	symlink(t, files[0], filepath.Join(folder, ".hidden"))
	checkPages(t, []string{folder})
	checkPages(t, append([]string{folder}, files...))
}

// Read in its place among the names, "latest" would hide that the pages are newest first.
func TestLinkToFileOfTheSameFolder(t *testing.T) {
	t.Parallel()
	folder, files := pages(t, false)
	symlink(t, "page-14.json", filepath.Join(folder, "latest"))
	checkPages(t, []string{folder})
	checkPages(t, append([]string{symlink(t, folder, filepath.Join(t.TempDir(), "folder"))}, files...))
}

func TestLinksThatAreNotFollowed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	loop := symlink(t, folder, filepath.Join(folder, "loop"))
	nowhere := symlink(t, "missing", filepath.Join(folder, "nowhere"))
	self := symlink(t, "self", filepath.Join(folder, "self"))
	records, rejected, err := Read(NDJSON, []string{folder}, nil)
	if err != nil || len(records) > 0 || len(rejected) != 3 {
		t.Fatal(records, rejected, err)
	}
	for i, want := range []Rejected{
		{Place: loop, Reason: "is a link, but not to a regular file"},
		{Place: nowhere, Reason: "is a link that can't be followed: stat " + nowhere + ": no such file or directory"},
		{Place: self, Reason: "is a link that can't be followed: stat " + self + ": too many levels of symbolic links"},
	} {
		if got := rejected[i]; got.Place != want.Place || got.Reason != want.Reason || got.Raw != nil {
			t.Errorf("rejected %+v, want %+v", got, want)
		}
	}
}

func TestPipesThatAShellMade(t *testing.T) {
	t.Parallel()
	var paths []string
	for n := range 2 {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		fmt.Fprintln(out, pageItem(n, false))
		out.Close()
		paths = append(paths, fmt.Sprintf("/dev/fd/%d", in.Fd()))
	}
	records, rejected, err := Read(NDJSON, paths, nil)
	if got := actions(records); got != "0 1" || len(rejected) > 0 || err != nil {
		t.Error(got, rejected, err)
	}
}
