package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"
)

// lost is an attempt of which nobody knows what became.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// request makes one attempt's request; every attempt gets the same.
type request func() (*http.Request, error)

// fetch calls an operation whose answer is a JSON document.
func fetch[T any](ctx context.Context, c *Client, status int, r request) (answer T, err error) {
	err = c.send(ctx, status, r, func(response *http.Response) error {
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return &lost{fmt.Errorf("the answer broke off: %w", err)}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("the answer can't be read: %w", err)
		}
		return nil
	})
	return answer, err
}

// send tries until receive has taken an answer of the status, an error tells that another
// attempt is of no use, or the attempts are used up. receive closes the answer's body.
func (c *Client) send(ctx context.Context, status int, r request, receive func(*http.Response) error) error {
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, status, r, receive)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		pause, again := c.pause(attempt, err)
		if !again {
			return fmt.Errorf("trail: %w", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx, err)
		}
	}
}

// ended tells that the context ended and what the last attempt met.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return fmt.Errorf("trail: %w", err)
	}
	return fmt.Errorf("trail: %w; the last attempt: %w", ctx.Err(), err)
}

// pause is how long to wait after an attempt, if another one may follow.
func (c *Client) pause(attempt int, err error) (time.Duration, bool) {
	var p *Problem
	var l *lost
	refused := errors.As(err, &p)
	again := errors.As(err, &l) || refused && p.repeatable()
	if attempt >= c.attempts || !again {
		return 0, false
	}
	pause := c.longest
	if doubled := c.first << (attempt - 1); doubled>>(attempt-1) == c.first {
		pause = min(pause, doubled)
	}
	pause = pause/2 + rand.N(pause/2+1)
	if refused && p.RetryAfter > 0 {
		return p.RetryAfter + pause, p.RetryAfter <= c.longest
	}
	return pause, true
}

// attempt asks the source once more when its token is refused; the same token again is an
// answer too.
func (c *Client) attempt(ctx context.Context, status int, r request, receive func(*http.Response) error) error {
	token, err := c.token(ctx)
	if err != nil {
		return fmt.Errorf("no token: %w", err)
	}
	refused := c.try(ctx, status, r, token, receive)
	if !errors.Is(refused, ErrUnauthorized) {
		return refused
	}
	other, err := c.token(ctx)
	if err != nil {
		return fmt.Errorf("%w; no other token: %w", refused, err)
	}
	if other == token {
		return refused
	}
	return c.try(ctx, status, r, other, receive)
}

// try sends one request. The time-out holds until receive returns, and counts as a loss like
// any other: it is the attempt's, not the caller's.
func (c *Client) try(ctx context.Context, status int, r request, token string, receive func(*http.Response) error) error {
	request, err := r()
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if c.organization != "" {
		request.Header.Set("X-Org-Slug", c.organization)
	}
	slow := fmt.Errorf("no answer within %s: %w", c.timeout, os.ErrDeadlineExceeded)
	limited, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout, func() { cancel(slow) })
	defer timer.Stop()
	err = c.exchange(request.WithContext(limited), cancel, status, receive)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), slow) {
		return &lost{slow}
	}
	return err
}

// exchange sends a request and hands its answer on. Closing the answer's body cancels the
// request.
func (c *Client) exchange(request *http.Request, cancel context.CancelCauseFunc, status int, receive func(*http.Response) error) error {
	response, err := c.http.Do(request)
	if err != nil {
		cancel(nil)
		return &lost{err}
	}
	response.Body = &body{response.Body, cancel}
	if response.StatusCode != status {
		defer response.Body.Close()
		return newProblem(response)
	}
	return receive(response)
}

// body frees its request when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
