package docs

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// missing stands for the service around the pages.
var missing = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

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

var handler = Handler(missing)

func pages(t *testing.T) map[string]*file {
	t.Helper()
	all, err := loadPages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheVendoredFilesAreThoseThatWerePublished(t *testing.T) {
	t.Parallel()
	sums, err := os.Open("swagger-ui/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	defer sums.Close()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"SHA256SUMS": true}
	for lines := bufio.NewScanner(sums); lines.Scan(); {
		line := lines.Text()
		if version, first := strings.CutPrefix(line, "# swagger-ui-dist "); first {
			if version, _, _ = strings.Cut(version, ","); !strings.Contains(string(makefile), "SWAGGER_UI_VERSION := "+version+"\n") {
				t.Errorf("the files are of %s, the Makefile names another version", version)
			}
			continue
		}
		want, name, _ := strings.Cut(line, "  ")
		body, err := os.ReadFile("swagger-ui/" + name)
		listed[name] = true
		if err != nil {
			listed[name+".gz"] = true
			packed, err := os.ReadFile("swagger-ui/" + name + ".gz")
			if err != nil {
				t.Error(err)
				continue
			}
			body = gzippedFile("", packed).plain()
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what was published", name)
		}
	}
	entries, err := os.ReadDir("swagger-ui")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !listed[entry.Name()] {
			t.Errorf("swagger-ui/%s isn't in SHA256SUMS", entry.Name())
		}
	}
}

func TestEveryAnswerIsUnderThePolicy(t *testing.T) {
	t.Parallel()
	for at := range pages(t) {
		response := ask(t, http.MethodGet, at)
		if response.Code != http.StatusOK || response.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", at, response.Code, response.Header())
		}
	}
	for _, target := range []string{"/docs", "/docs/", "/docs/nothing", "/docs/assets/site.css", "/docs/guides"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			header := ask(t, method, target).Header()
			for name, want := range map[string]string{
				"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s %s: %s is %q", method, target, name, got)
				}
			}
		}
	}
}

func TestAnswersComeInTheEncodingThatIsAccepted(t *testing.T) {
	t.Parallel()
	const target = "/docs/assets/swagger-ui.css"
	plain := ask(t, http.MethodGet, target)
	want := plain.Body.String()
	if plain.Header().Get("Content-Encoding") != "" || !strings.Contains(want, ".swagger-ui") {
		t.Fatalf("plain: %v %.40s", plain.Header(), want)
	}
	for accepted, gzipped := range map[string]bool{
		"gzip": true, "gzip, deflate, br": true, "br;q=1.0, gzip;q=0.8": true, "*": true, "GZIP": true, "br, gzip ; q=0.001": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "*;q=0": false, "gzip;q=0, *": false, "gzip; q=0.000": false, "gzip;q=much": false,
	} {
		response := ask(t, http.MethodGet, target, "Accept-Encoding", accepted)
		got := response.Body.String()
		if response.Header().Get("Vary") != "Accept-Encoding" || response.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%q: %v", accepted, response.Header())
		}
		if (response.Header().Get("Content-Encoding") == "gzip") != gzipped {
			t.Errorf("%q: %v", accepted, response.Header())
			continue
		}
		if gzipped {
			got = string(gzippedFile("", []byte(got)).plain())
		}
		if got != want {
			t.Errorf("%q: another body", accepted)
		}
	}
}

func TestWhatABrowserHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	tags := map[string]bool{}
	for _, accepted := range []string{"", "gzip"} {
		first := ask(t, http.MethodGet, "/docs", "Accept-Encoding", accepted)
		tag := first.Header().Get("ETag")
		if tag == "" || tags[tag] {
			t.Errorf("ETag %q is empty or another encoding's", tag)
		}
		tags[tag] = true
		again := ask(t, http.MethodGet, "/docs", "Accept-Encoding", accepted, "If-None-Match", tag)
		if again.Code != http.StatusNotModified || again.Body.String() != "" || again.Header().Get("ETag") != tag {
			t.Errorf("again: %d %v", again.Code, again.Header())
		}
		if other := ask(t, http.MethodGet, "/docs", "Accept-Encoding", accepted, "If-None-Match", `"other"`); other.Code != http.StatusOK {
			t.Errorf("another tag: %d", other.Code)
		}
		head := ask(t, http.MethodHead, "/docs", "Accept-Encoding", accepted)
		if head.Code != http.StatusOK || head.Body.String() != "" || head.Header().Get("ETag") != tag {
			t.Errorf("HEAD: %d %v", head.Code, head.Header())
		}
	}
}

func TestASlashTooManyLeadsToThePage(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/docs/": "/docs", "/docs//": "/docs", "/docs/?a=b": "/docs?a=b", "/docs/guides/": "/docs/guides",
		"/docs/problems/conflict/": "/docs/problems/conflict", "/docs/problems/conflict///": "/docs/problems/conflict",
	} {
		for _, prefix := range []string{"", "/behind/a/proxy"} {
			response := ask(t, http.MethodGet, target)
			base, err := url.Parse("https://audit.example" + prefix + target)
			if err != nil {
				t.Fatal(err)
			}
			to, err := base.Parse(response.Header().Get("Location"))
			if err != nil || response.Code != http.StatusMovedPermanently || to.RequestURI() != prefix+want {
				t.Errorf("%s%s: %d to %v (%v)", prefix, target, response.Code, to, err)
			}
		}
	}
	for _, target := range []string{"/docs/nothing/", "/docs/assets/", "/docs/guides/nothing"} {
		if response := ask(t, http.MethodGet, target); response.Code != http.StatusTeapot {
			t.Errorf("%s: %d", target, response.Code)
		}
	}
	if response := ask(t, http.MethodPost, "/docs"); response.Code != http.StatusTeapot {
		t.Errorf("POST: %d", response.Code)
	}
}

var (
	link = regexp.MustCompile(`(?:href|src)="([^"]*)"`)
	id   = regexp.MustCompile(` id="([^"]*)"`)
)

// TestEveryLinkLeadsSomewhere follows the links of all pages, as they are served and
// beneath a prefix.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	anchors := map[string]bool{}
	for at, f := range all {
		for _, found := range id.FindAllSubmatch(f.plain(), -1) {
			anchors[at+"#"+string(found[1])] = true
		}
	}
	const prefix = "/behind/a/proxy"
	for at, f := range all {
		if !strings.HasPrefix(f.contentType, "text/html") {
			continue
		}
		base, err := url.Parse(prefix + at)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllSubmatch(f.plain(), -1) {
			to, err := base.Parse(strings.ReplaceAll(string(found[1]), "&amp;", "&"))
			if err != nil {
				t.Errorf("%s: %v", at, err)
				continue
			}
			if to.IsAbs() {
				continue
			}
			target, within := strings.CutPrefix(to.Path, prefix)
			if within && strings.HasPrefix(target, "/openapi") {
				continue // the service's own; a test of internal/httpapi asks for them
			}
			if all[target] == nil || !within {
				t.Errorf("%s links to %s, where nothing is", at, found[1])
			}
			if to.Fragment != "" && !anchors[target+"#"+to.Fragment] {
				t.Errorf("%s links to %s, which has no such heading", at, found[1])
			}
		}
	}
}

func TestNoPageNeedsWhatThePolicyForbids(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`(?i)<style|<script(?:>| [^>]*[^r]>[^<])|\sstyle=|\son[a-z]+=|javascript:`)
	for at, f := range pages(t) {
		if !strings.HasPrefix(f.contentType, "text/html") {
			continue
		}
		if found := inline.Find(f.plain()); found != nil {
			t.Errorf("%s: %s", at, found)
		}
	}
}

func TestEveryGuideIsInTheNavigation(t *testing.T) {
	t.Parallel()
	articles, err := loadArticles()
	if err != nil {
		t.Fatal(err)
	}
	inNavigation := map[string]bool{"/docs/guides": true, "/docs/problems": true}
	for _, index := range []string{"README.md", "problems/README.md"} {
		for _, a := range listed(articles, index) {
			inNavigation[a.path] = true
		}
	}
	for name, a := range articles {
		if !inNavigation[a.path] {
			t.Errorf("docs/%s isn't linked in the README.md beside it", name)
		}
		if a.title == "" {
			t.Errorf("docs/%s has no heading", name)
		}
	}
}

func TestMarkdownBecomesAPage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, markdown, want string }{
		"a guide beside it":         {"a.md", "[b](b.md#c)", `<a href="b#c">b</a>`},
		"a problem of a guide":      {"a.md", "[b](problems/b.md)", `<a href="../problems/b">b</a>`},
		"a guide of a problem":      {"problems/a.md", "[b](../b.md)", `<a href="../guides/b">b</a>`},
		"a problem of a problem":    {"problems/a.md", "[b](b.md)", `<a href="b">b</a>`},
		"the guides":                {"a.md", "[b](README.md)", `<a href="../guides">b</a>`},
		"a guide of the guides":     {"README.md", "[b](b.md)", `<a href="guides/b">b</a>`},
		"the problems":              {"problems/a.md", "[b](README.md)", `<a href="../problems">b</a>`},
		"the document":              {"problems/a.md", "[b](../../openapi.yaml)", `<a href="../../openapi.yaml">b</a>`},
		"a heading of its own":      {"a.md", "[b](#c)", `<a href="#c">b</a>`},
		"another host":              {"a.md", "[b](https://example.com/c.md)", `<a href="https://example.com/c.md">b</a>`},
		"a file that isn't served":  {"a.md", "see [`gen` *here*](../gen/client), it", "see <code>gen</code> <em>here</em>, it"},
		"an image":                  {"a.md", "![b](performance/b.svg)", `<img src="../performance/b.svg" alt="b">`},
		"an image of a problem":     {"problems/a.md", "![b](../performance/b.svg)", `<img src="../performance/b.svg" alt="b">`},
		"a script in a link":        {"a.md", "[b](javascript:alert(1))", `<a href="">b</a>`},
		"raw HTML":                  {"a.md", "a <script>alert(1)</script> b", "<!-- raw HTML omitted -->"},
		"a table with its columns":  {"a.md", "|a|b|\n|--|-:|\n|c|d|", `<div class="wide" tabindex="0"><table>`},
		"a column to the right":     {"a.md", "|a|b|\n|--|-:|\n|c|d|", `<td align="right">d</td>`},
		"code that can be scrolled": {"a.md", "```sh\n<pre>\n```", `<pre tabindex="0"><code class="language-sh">&lt;pre&gt;`},
		"a heading":                 {"a.md", "## One `two`", `<h2 id="one-two">`},
	} {
		a, err := newArticle(c.source, []byte(c.markdown))
		if err != nil || !strings.Contains(relativeLinks(a.path, string(a.html)), c.want) {
			t.Errorf("%s: %s (%v), want %s", name, a.html, err, c.want)
		}
	}
}

func TestPlotsAreShownWhereTheyAreTalkedOf(t *testing.T) {
	t.Parallel()
	all := pages(t)
	shown := regexp.MustCompile(`<img src="\.\./(performance/[a-z-]+\.svg)"`).FindAllSubmatch(all["/docs/guides/performance"].plain(), -1)
	if len(shown) == 0 {
		t.Error("the guide shows no plot")
	}
	for _, image := range shown {
		answer := ask(t, http.MethodGet, "/docs/"+string(image[1]))
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != "image/svg+xml" || !strings.Contains(answer.Body.String(), "<svg") {
			t.Errorf("%s: %d, %s", image[1], answer.Code, answer.Header())
		}
	}
}

func TestRelativeLinksAreWhatABrowserMakesOfThem(t *testing.T) {
	t.Parallel()
	paths := []string{"/docs", "/docs/guides", "/docs/guides/a", "/docs/problems/b", "/docs/assets/c.css", "/openapi.yaml"}
	for _, from := range paths {
		for _, to := range paths {
			if got := path.Join(path.Dir(from), relative(from, to)); got != to {
				t.Errorf("from %s to %s: %s leads to %s", from, to, relative(from, to), got)
			}
		}
	}
}
