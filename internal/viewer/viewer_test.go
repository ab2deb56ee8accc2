//go:build !no_ui

package viewer

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// missing stands for the service around the page.
var missing = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

var handler = Handler(missing)

func ask(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestEveryAnswerIsUnderThePolicy(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/ui", "/ui/", "/ui/icon.svg", "/ui/nothing"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			header := ask(t, method, target).Header()
			if got := header.Get("Content-Security-Policy"); got != policy || strings.Contains(got, "unsafe") {
				t.Errorf("%s %s: policy %q", method, target, got)
			}
			if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%s %s: %v", method, target, header)
			}
		}
	}
}

var link = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// TestEveryFileOfThePageIsServed follows the page's links, at the root and beneath a prefix.
func TestEveryFileOfThePageIsServed(t *testing.T) {
	t.Parallel()
	page := ask(t, http.MethodGet, "/ui/")
	if page.Code != http.StatusOK || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	const prefix = "/behind/a/proxy"
	scripts := 0
	for _, found := range link.FindAllStringSubmatch(page.Body.String(), -1) {
		base := url.URL{Scheme: "https", Host: "audit.example", Path: prefix + "/ui/"}
		to, err := base.Parse(found[1])
		if err != nil || to.Host != "audit.example" || !strings.HasPrefix(to.Path, prefix+"/") {
			t.Errorf("%s leads to %v (%v)", found[1], to, err)
			continue
		}
		at := strings.TrimPrefix(to.Path, prefix)
		if at == "/docs" {
			continue
		}
		answer := ask(t, http.MethodGet, at)
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", at, answer.Code, answer.Header())
		}
		if strings.HasPrefix(at, "/ui/assets/") != strings.Contains(answer.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", at, answer.Header())
		}
		if strings.HasSuffix(at, ".js") {
			scripts++
		}
	}
	if scripts != 1 {
		t.Errorf("%d scripts", scripts)
	}
}

func TestEveryFileHasAType(t *testing.T) {
	t.Parallel()
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for at, f := range files {
		if f.contentType == "" {
			t.Errorf("%s has no content type", at)
		}
	}
	if licences := files["/ui/licences.txt"]; licences == nil || !bytes.Contains(licences.plain, []byte("lit-html")) || !bytes.Contains(licences.plain, []byte("uplot")) {
		t.Error("the licences of what is built in are missing")
	}
}

func TestScriptsAreSmall(t *testing.T) {
	t.Parallel()
	const most = 150_000
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for at, f := range files {
		if strings.HasSuffix(at, ".js") {
			size += len(f.gzipped)
		}
	}
	if size == 0 || size > most {
		t.Errorf("scripts are %d bytes compressed, at most %d are allowed", size, most)
	}
}

func TestAnswersComeInTheEncodingThatIsAccepted(t *testing.T) {
	t.Parallel()
	want := ask(t, http.MethodGet, "/ui/").Body.Bytes()
	for accepted, gzipped := range map[string]bool{
		"gzip": true, "gzip, deflate, br": true, "br;q=1.0, gzip;q=0.8": true, "GZIP": true, "br, gzip ; q=0.001": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "*": false,
	} {
		answer := ask(t, http.MethodGet, "/ui/", "Accept-Encoding", accepted)
		got := answer.Body.Bytes()
		if (answer.Header().Get("Content-Encoding") == "gzip") != gzipped || answer.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", accepted, answer.Header())
			continue
		}
		if gzipped {
			reader, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q: another body", accepted)
		}
		again := ask(t, http.MethodGet, "/ui/", "Accept-Encoding", accepted, "If-None-Match", answer.Header().Get("ETag"))
		if again.Code != http.StatusNotModified {
			t.Errorf("%q again: %d", accepted, again.Code)
		}
	}
}

func TestWhatIsNotThereIsHandedOn(t *testing.T) {
	t.Parallel()
	if answer := ask(t, http.MethodGet, "/ui?entry=a"); answer.Code != http.StatusMovedPermanently || answer.Header().Get("Location") != "ui/?entry=a" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
	for _, target := range []string{"/ui/nothing", "/ui/index.html", "/ui/assets/", "/ui/assets"} {
		if answer := ask(t, http.MethodGet, target); answer.Code != http.StatusTeapot {
			t.Errorf("%s: %d", target, answer.Code)
		}
	}
	if answer := ask(t, http.MethodPost, "/ui/"); answer.Code != http.StatusTeapot {
		t.Errorf("POST: %d", answer.Code)
	}
}
