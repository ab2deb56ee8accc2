package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rs/cors"
)

// What every answer says to browsers. Pages under /docs, which are made to be looked at,
// have a policy of their own.
var (
	noStore    = []string{"no-store"}
	noSniff    = []string{"nosniff"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	noReferrer = []string{"no-referrer"}
)

// secure sets them. The values are shared by all answers: nobody changes a header's values
// in place. TLS ends before us, so only configuration can know whether there is any.
func secure(header http.Header, strictTransport []string) {
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	header["Content-Security-Policy"] = noContent
	header["Referrer-Policy"] = noReferrer
	if strictTransport != nil {
		header["Strict-Transport-Security"] = strictTransport
	}
}

func strictTransport(maxAge time.Duration) []string {
	if maxAge <= 0 {
		return nil
	}
	return []string{"max-age=" + strconv.FormatInt(int64(maxAge.Seconds()), 10)}
}

// Headers of requests and answers that pages on allowed origins may set and read.
var (
	allowedHeaders = []string{"Authorization", "Content-Type", "Content-Encoding", "X-Org-Slug", "X-Request-Id", "Traceparent", "Tracestate"}
	exposedHeaders = []string{
		"X-Request-Id", "X-Total-Count", "X-Truncated", "Link", "Content-Disposition",
		"Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate",
	}
)

// preflightAge is how long a browser remembers what it may send, in seconds.
const preflightAge = 600

// CheckOrigin says what is wrong with an origin of a front end, if anything is. Exact ones
// alone are taken: a token is all that a page needs, and "*" would let every page try.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(origin, "*, ") ||
		origin != u.Scheme+"://"+u.Host || strings.ToLower(origin) != origin {
		return fmt.Errorf("%q is not an origin such as https://app.example.com: scheme, host in lower case, the port if it isn't the scheme's, and nothing else", origin)
	}
	return nil
}

// shareWith lets pages of the origins call what has these methods (the Fetch standard's CORS protocol). No
// cookie or other credential of the browser's is ever taken. Without origins no answer
// says anything, which is the strictest policy there is.
func shareWith(origins, methods []string, next http.Handler) (http.Handler, error) {
	if len(origins) == 0 {
		return next, nil // the library would take it for all
	}
	for _, origin := range origins {
		if err := CheckOrigin(origin); err != nil {
			return nil, err
		}
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins, AllowedMethods: methods,
		AllowedHeaders: allowedHeaders, ExposedHeaders: exposedHeaders, MaxAge: preflightAge,
	}).Handler(next), nil
}
