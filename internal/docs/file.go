package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// file is an answer, kept compressed: nearly everybody takes it so.
type file struct {
	contentType string
	gzipped     []byte
	hash        string
}

// packer makes files with one compressor, since each takes a megabyte.
type packer struct {
	writer *gzip.Writer
}

func newPacker() packer {
	writer, _ := gzip.NewWriterLevel(nil, gzip.BestCompression) // a level that there is
	return packer{writer}
}

func (p packer) file(contentType string, body []byte) (*file, error) {
	var packed bytes.Buffer
	p.writer.Reset(&packed)
	if _, err := p.writer.Write(body); err != nil {
		return nil, err
	}
	if err := p.writer.Close(); err != nil {
		return nil, err
	}
	return gzippedFile(contentType, packed.Bytes()), nil
}

func gzippedFile(contentType string, gzipped []byte) *file {
	sum := sha256.Sum256(gzipped)
	return &file{contentType, gzipped, hex.EncodeToString(sum[:16])}
}

// serve answers with the encoding that is accepted. Browsers keep the file and ask each
// time whether it is still the same, so that nobody reads yesterday's.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept-Encoding")
	body := f.gzipped
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		header.Set("ETag", `"`+f.hash+`-gzip"`)
	} else {
		body = f.plain()
		header.Set("ETag", `"`+f.hash+`"`)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func (f *file) plain() []byte {
	reader, err := gzip.NewReader(bytes.NewReader(f.gzipped))
	if err != nil {
		panic(err) // compressed by us, or vendored and tested
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		panic(err)
	}
	return body
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3): a coding with q=0 is
// refused, and "*" is any that isn't named.
func acceptsGzip(values []string) bool {
	any := false
	for element := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, parameter, _ := strings.Cut(element, ";")
		name, weight, _ := strings.Cut(strings.ReplaceAll(parameter, " ", ""), "=")
		accepted := true
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(weight, 64)
			accepted = err == nil && q > 0
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return accepted
		case "*":
			any = accepted
		}
	}
	return any
}
