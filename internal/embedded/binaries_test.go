package embedded

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestFind(t *testing.T) {
	dir := publicDir(t)
	old := fakePostgres(t, dir, "old", "postgres (PostgreSQL) 14.22")
	v16 := fakePostgres(t, dir, "16", "postgres (PostgreSQL) 16.4 (Debian 16.4-1)")
	v9 := fakePostgres(t, dir, "9", "postgres (PostgreSQL) 9.6.24")
	v18 := fakePostgres(t, dir, "18", "postgres (PostgreSQL) 18beta1")
	other := fakePostgres(t, dir, "other", "hello")
	links := filepath.Join(dir, "links")
	clientOnly := fakePostgres(t, dir, "client", "postgres (PostgreSQL) 17.2")
	if err := errors.Join(os.Mkdir(links, 0o755), os.Symlink(filepath.Join(v16, "postgres"), filepath.Join(links, "postgres")),
		os.Remove(filepath.Join(clientOnly, "initdb"))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		finder finder
		major  int
		want   string
	}{
		"chosen":                {finder{chosen: v16, path: []string{v18}}, 0, v16},
		"the PATH comes first":  {finder{path: []string{v16}, usual: []string{v18}}, 0, v16},
		"the PATH's order":      {finder{path: []string{v16, v18}}, 0, v16},
		"links are followed":    {finder{path: []string{links}}, 0, v16},
		"newest of the usual":   {finder{usual: []string{v9, v16, v18, old}}, 0, v18},
		"bad ones are passed":   {finder{path: []string{dir, old, other, clientOnly, v16}}, 0, v16},
		"the data's version":    {finder{path: []string{v18}, usual: []string{v16, v18}}, 16, v16},
		"chosen but too old":    {finder{chosen: old, path: []string{v18}}, 0, ""},
		"chosen but not there":  {finder{chosen: dir, path: []string{v18}}, 0, ""},
		"chosen but not suited": {finder{chosen: v18, path: []string{v16}}, 16, ""},
		"chosen but half":       {finder{chosen: clientOnly}, 0, ""},
		"nothing":               {finder{path: []string{old, other, clientOnly}, usual: []string{v9}}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := testFinder(t, c.finder)
			b, err := f.find(t.Context(), c.major)
			if b.dir != c.want || (err == nil) != (c.want != "") {
				t.Errorf("found %q, %v; want %q", b.dir, err, c.want)
			}
			if err != nil && (!errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), BinEnv)) {
				t.Errorf("the error doesn't help: %v", err)
			}
		})
	}
}

func TestNoBinariesSaysWhatToDo(t *testing.T) {
	dir := publicDir(t)
	old := fakePostgres(t, dir, "old", "postgres (PostgreSQL) 14.22")
	f := testFinder(t, finder{path: []string{old}, repository: "http://127.0.0.1:1", cache: newCache(t)})
	_, err := f.find(t.Context(), 0)
	if err == nil {
		t.Fatal("found one")
	}
	for _, part := range []string{"apt-get install postgresql", "dnf install postgresql-server", "brew install postgresql@17", BinEnv, old, "14.22", "127.0.0.1:1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
}

func TestFetch(t *testing.T) {
	cache := newCache(t)
	repository, requests := serveArchive(t, func(sum string) string { return sum })
	f := testFinder(t, finder{repository: repository, cache: cache})
	for range 2 {
		b, err := f.find(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(cache, "postgres-18.3.0", "bin"); b.dir != want || b.major != 18 {
			t.Errorf("found %s, %d; want %s", b.dir, b.major, want)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want the archive and its checksum once", n)
	}
	onlyFile(t, cache, "postgres-18.3.0")
}

func TestFetchRefusesWrongChecksum(t *testing.T) {
	cache := newCache(t)
	repository, _ := serveArchive(t, func(string) string { return strings.Repeat("0", 64) })
	f := testFinder(t, finder{repository: repository, cache: cache})
	if _, err := f.find(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("error %v, want one about the checksum", err)
	}
	onlyFile(t, cache, "")
}

// serveArchive is a repository whose every archive holds testdata/postgres.txz: the layout
// of a real one (bin, share), with shell scripts for programs.
func serveArchive(t *testing.T, sum func(string) string) (string, *atomic.Int32) {
	t.Helper()
	txz, err := os.ReadFile("testdata/postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(txz); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	requests := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			fmt.Fprint(w, sum(fmt.Sprintf("%x", sha256.Sum256(jar.Bytes()))))
			return
		}
		w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// newCache also catches the temporary file that the library leaves behind.
func newCache(t *testing.T) string {
	t.Helper()
	dir := publicDir(t)
	t.Setenv("TMPDIR", dir)
	return filepath.Join(dir, "cache")
}

func onlyFile(t *testing.T, dir, want string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() != want {
			t.Errorf("%s is left in the cache", f.Name())
		}
	}
}

func testFinder(t *testing.T, f finder) finder {
	t.Helper()
	user, err := runner()
	if err != nil {
		t.Fatal(err)
	}
	f.user, f.log = user, slog.New(slog.DiscardHandler)
	return f
}

func fakePostgres(t *testing.T, dir, name, says string) string {
	t.Helper()
	bin := filepath.Join(dir, name)
	script := []byte("#!/bin/sh\necho '" + says + "'\n")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.WriteFile(filepath.Join(bin, "postgres"), script, 0o755),
		os.WriteFile(filepath.Join(bin, "initdb"), script, 0o755)); err != nil {
		t.Fatal(err)
	}
	return bin
}
