package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
)

// Limit is a token bucket: so many requests a second, and so many at once. The zero Limit
// limits nothing.
type Limit struct {
	Rate  float64
	Burst int
}

// ParseLimit reads "50" or "50:200": requests a second, and how many may come at once; if
// that isn't said, as many as in two seconds, and at least one.
func ParseLimit(text string) (Limit, error) {
	perSecond, burst, both := strings.Cut(text, ":")
	l := Limit{}
	var err error
	if l.Rate, err = strconv.ParseFloat(perSecond, 64); err != nil || !(l.Rate >= 0.001 && l.Rate <= 1e6) {
		return l, fmt.Errorf("%q is not a number of requests a second, from 0.001 to 1000000", perSecond)
	}
	l.Burst = int(math.Ceil(2 * l.Rate))
	if !both {
		return l, nil
	}
	if l.Burst, err = strconv.Atoi(burst); err != nil || l.Burst < 1 || l.Burst > 1e7 {
		return l, fmt.Errorf("%q is not a number of requests at once, from 1 to 10000000", burst)
	}
	return l, nil
}

// maxBuckets bounds how many callers are remembered; the one that was heard of the longest
// ago is forgotten first, when its bucket is most likely full again.
const maxBuckets = 20_000

// quotas limits how often organizations and credentials may call this instance.
type quotas struct {
	policy  []string // the RateLimit-Policy header's value
	buckets []*buckets
	metrics *metrics.Metrics
}

// newQuotas has the credential's limit first, so that what it refuses costs its
// organization nothing.
func newQuotas(credential, organization Limit, m *metrics.Metrics) *quotas {
	q := &quotas{metrics: m}
	var policies []string
	for _, of := range []struct {
		name  string
		limit Limit
		key   func(*call) string
	}{
		{"credential", credential, func(c *call) string { return c.principal.Issuer + "\x00" + c.principal.Subject }},
		{"organization", organization, func(c *call) string { return c.organization }},
	} {
		if of.limit.Rate == 0 {
			continue
		}
		known, _ := simplelru.NewLRU[string, *rate.Limiter](maxBuckets, nil) // fails for sizes below 1
		q.buckets = append(q.buckets, &buckets{name: of.name, limit: of.limit, key: of.key, known: known})
		window := int(math.Ceil(float64(of.limit.Burst) / of.limit.Rate))
		policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", of.name, of.limit.Burst, window))
	}
	if len(policies) > 0 {
		q.policy = []string{join(policies)}
	}
	return q
}

// take counts a call, tells what is left in the RateLimit headers (draft-ietf-httpapi-
// ratelimit-headers-11), and refuses it with Retry-After where nothing was left.
func (q *quotas) take(header http.Header, c *call) error {
	if len(q.buckets) == 0 {
		return nil
	}
	header["Ratelimit-Policy"] = q.policy
	left := make([]string, 0, len(q.buckets))
	now := time.Now()
	for _, b := range q.buckets {
		ok, remaining, wait := b.take(b.key(c), now)
		item := fmt.Sprintf("%q;r=%d;t=%d", b.name, remaining, wait)
		if !ok {
			header["Ratelimit"] = []string{item} // the others' windows have nothing to do with the wait
			header.Set("Retry-After", strconv.Itoa(wait))
			q.metrics.Limited(b.name)
			return errTooManyRequests
		}
		left = append(left, item)
	}
	header["Ratelimit"] = []string{join(left)}
	return nil
}

// buckets are the token buckets of one limit.
type buckets struct {
	name  string
	limit Limit
	key   func(*call) string

	mutex sync.Mutex
	known *simplelru.LRU[string, *rate.Limiter]
}

// take reports whether there was a token, how many there are now, and after how many
// seconds there will be one more.
func (b *buckets) take(key string, now time.Time) (ok bool, remaining, wait int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	limiter, known := b.known.Get(key)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(b.limit.Rate), b.limit.Burst)
		b.known.Add(key, limiter)
	}
	ok = limiter.AllowN(now, 1)
	tokens := max(0, limiter.TokensAt(now))
	whole := math.Floor(tokens)
	return ok, int(whole), int(math.Ceil((whole + 1 - tokens) / b.limit.Rate))
}

// errTooManyRequests is a limit of the operator's, as opposed to what the instance can bear.
var errTooManyRequests = &audit.Rejection{Kind: errLimited, Detail: "wait as long as Retry-After says, then send the request again; nothing was stored"}
