//go:build !no_ui

package viewer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// policy is the Content-Security-Policy of the page. A token is pasted into it and entries
// hold what anybody sent, so nothing but our own files may run, and no text becomes markup:
// the one policy of Trusted Types is that of Lit, which makes markup of its own templates alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"

//go:embed dist
var built embed.FS

// contentTypes are ours and not the machine's, whose tables differ.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

type file struct {
	contentType, cacheControl, tag string
	plain, gzipped                 []byte
}

// Handler serves the paths from /ui on. What it has no answer to (another path, another
// method) it hands to missing.
func Handler(missing http.Handler) http.Handler {
	// Most instances are never asked.
	files := sync.OnceValues(load)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		known, err := files()
		if err != nil {
			panic(err) // the files are part of the binary: a test would have failed
		}
		found, ok := known[r.URL.Path]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			missing.ServeHTTP(w, r)
		case ok:
			found.serve(w, r)
		case r.URL.Path == "/ui":
			redirect(w, r)
		default:
			missing.ServeHTTP(w, r)
		}
	})
}

// redirect is relative, unlike [http.Redirect]: only the caller's side knows the prefix
// that a proxy puts before our paths.
func redirect(w http.ResponseWriter, r *http.Request) {
	location := "ui/"
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusMovedPermanently)
}

// load reads the built files by their paths: the page at /ui/, the others as they are named.
func load() (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(built, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := built.ReadFile(name)
		if err != nil {
			return err
		}
		at := "/ui/" + strings.TrimPrefix(name, "dist/")
		if path.Base(name) == "index.html" {
			at = strings.TrimSuffix(at, "index.html")
		}
		files[at], err = newFile(name, plain)
		return err
	})
	return files, err
}

func newFile(name string, plain []byte) (*file, error) {
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(plain); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	f := &file{contentTypes[path.Ext(name)], "no-cache", hex.EncodeToString(sum[:16]), plain, packed.Bytes()}
	if strings.HasPrefix(name, "dist/assets/") {
		f.cacheControl = "public, max-age=31536000, immutable" // Vite puts a hash of the content into the name
	}
	return f, nil
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", f.cacheControl)
	header.Set("Vary", "Accept-Encoding")
	body, tag := f.plain, f.tag
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		body, tag = f.gzipped, tag+"-gzip"
	}
	header.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip is careful: who doesn't name gzip, or gives it any weight of 0, gets plain text.
func acceptsGzip(values []string) bool {
	for element := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, parameter, _ := strings.Cut(element, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight := strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(parameter), " ", ""), "q=")
			return weight == "" || strings.Trim(weight, "0.") != ""
		}
	}
	return false
}
