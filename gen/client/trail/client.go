package trail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// TokenSource gives the bearer token for one attempt, without "Bearer". It is asked for every
// attempt, so it should keep its token until that expires; it may be asked concurrently. Its
// error ends the call, without another attempt.
type TokenSource func(context.Context) (string, error)

// Client calls one service for one organization. It is safe for concurrent use.
type Client struct {
	base         string // ends with a slash, so that paths can be joined to it
	http         *http.Client
	token        TokenSource
	organization string
	attempts     int
	first        time.Duration
	longest      time.Duration
	timeout      time.Duration
}

// Option changes a setting of a new client.
type Option func(*Client)

// WithTokenSource asks source for a token before every attempt.
func WithTokenSource(source TokenSource) Option { return func(c *Client) { c.token = source } }

// WithToken sends one token for good.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithOrganization chooses one organization of a token that names several, with the header
// X-Org-Slug.
func WithOrganization(slug string) Option { return func(c *Client) { c.organization = slug } }

// WithHTTPClient sends requests through another client than [http.DefaultClient]. A time-out
// of its own also cuts exports that take longer.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithAttempts bounds how often a call is tried: 5 times unless told otherwise, and once
// with 1 or less.
func WithAttempts(n int) Option { return func(c *Client) { c.attempts = n } }

// WithBackOff sets the pause after the first attempt (250 ms unless told otherwise), which
// doubles with every further one, and the longest pause (30 s). Half of each pause is random.
// A Retry-After beyond the longest pause ends the call with its [*Problem], so that the
// caller can decide.
func WithBackOff(first, longest time.Duration) Option {
	return func(c *Client) { c.first, c.longest = max(first, 0), max(longest, 0) }
}

// WithAttemptTimeout bounds how long one attempt may take to its whole answer, or to the
// beginning of an export: 30 s unless told otherwise.
func WithAttemptTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// New makes a client of the API at baseURL, an absolute http or https URL with the base path,
// such as https://audit.acme.example/api. Nothing is sent yet.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("trail: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("trail: %q is no base URL such as https://audit.acme.example/api", baseURL)
	}
	c := &Client{
		base: strings.TrimSuffix(baseURL, "/") + "/", http: http.DefaultClient,
		attempts: 5, first: 250 * time.Millisecond, longest: 30 * time.Second, timeout: 30 * time.Second,
	}
	for _, option := range options {
		option(c)
	}
	if c.token == nil {
		return nil, errors.New("trail: every call needs a token: use WithTokenSource or WithToken")
	}
	return c, nil
}
