package docs

import (
	"net/http"
	"path"
	"strings"
	"sync"
)

// policy is the Content-Security-Policy of everything under /docs. A token is pasted
// into the reference page, so nothing but our own files may run or be called there.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the paths from /docs on. What it has no answer to (another path, another
// method) it hands to missing.
func Handler(missing http.Handler) http.Handler {
	// Pages are made when somebody first asks for one: most instances are never asked.
	pages := sync.OnceValues(loadPages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			missing.ServeHTTP(w, r)
			return
		}
		known, err := pages()
		if err != nil {
			panic(err) // the files are part of the binary: a test would have failed
		}
		if found, ok := known[r.URL.Path]; ok {
			found.serve(w, r)
			return
		}
		bare := strings.TrimRight(r.URL.Path, "/")
		if _, ok := known[bare]; ok {
			redirect(w, r, "../"+strings.Repeat("../", len(r.URL.Path)-len(bare)-1)+path.Base(bare))
			return
		}
		missing.ServeHTTP(w, r)
	})
}

// redirect is relative, unlike [http.Redirect]: only the caller's side knows the prefix
// that a proxy puts before our paths.
func redirect(w http.ResponseWriter, r *http.Request, location string) {
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusMovedPermanently)
}
