// Package load sends requests over kept connections and measures what comes back.
//
// [Closed] keeps a number of connections busy, which finds the highest rate. [Open] sends
// at a given rate whether or not answers come, as the world does, and measures from the
// moment at which a request should have been sent: a service that stops for a second is
// seen by all who would have called in that second, not by the one that did.
//
// Clients and service share this machine, so the client is lean: a request is bytes that
// are ready, and of the answer only the head is looked at.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Target is a service and what calls carry.
type Target struct {
	Address string // host:port
	Token   string
}

// Get is the bytes of a GET request for path with query.
func (t Target) Get(path string, query url.Values) []byte {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, t.Address, t.Token)
}

// Post is the bytes of a POST request with a JSON body.
func (t Target) Post(path string, body []byte) []byte {
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		path, t.Address, t.Token, len(body))
	return append(head, body...)
}

// Requests draws the next request. Each connection has a random source of its own.
type Requests func(r *rand.Rand) []byte

// Result is what a run has seen.
type Result struct {
	Requests int64
	Bytes    int64 // of bodies
	Elapsed  time.Duration
	Latency  *hdrhistogram.Histogram // in microseconds
}

// Rate is requests a second.
func (r Result) Rate() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Percentile is a latency in milliseconds.
func (r Result) Percentile(p float64) float64 {
	return float64(r.Latency.ValueAtPercentile(p)) / 1000
}

const (
	highest = 60 * 1_000_000 // microseconds
	digits  = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, highest, digits) }

// Conn is one kept connection.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader
}

// Dial connects to the target.
func Dial(ctx context.Context, address string) (*Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.conn.Close() }

// Do sends a request and reads the whole answer into w, nil for nowhere. An answer other
// than 2xx is an error that quotes it.
func (c *Conn) Do(request []byte, w io.Writer) (size int64, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, err
	}
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 2048))
		line, _, _ := bytes.Cut(request, []byte("\r\n"))
		return 0, errors.Join(fmt.Errorf("%.120s: %s: %s", line, answer.Status, text), answer.Body.Close())
	}
	if w == nil && answer.ContentLength >= 0 {
		// Past the body's back: it must not be closed, which would wait for the same bytes.
		skipped, err := c.reader.Discard(int(answer.ContentLength))
		return int64(skipped), err
	}
	if w == nil {
		w = io.Discard
	}
	size, err = io.Copy(w, answer.Body)
	return size, errors.Join(err, answer.Body.Close())
}

// worker is one connection's part of a run.
type worker struct {
	conn    *Conn
	random  *rand.Rand
	latency *hdrhistogram.Histogram
	count   int64
	bytes   int64
}

func (w *worker) send(request []byte, from time.Time) error {
	size, err := w.conn.Do(request, nil)
	if err != nil {
		return err
	}
	w.count++
	w.bytes += size
	return w.latency.RecordValue(min(max(1, time.Since(from).Microseconds()), highest))
}

// run lets each connection work until work returns, and gathers what they saw.
func run(ctx context.Context, address string, connections int, work func(w *worker) error) (Result, error) {
	workers := make([]*worker, connections)
	for i := range workers {
		conn, err := Dial(ctx, address)
		if err != nil {
			return Result{}, err
		}
		defer conn.Close()
		workers[i] = &worker{conn: conn, random: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i))), latency: newHistogram()}
	}
	begun := time.Now()
	failures := make([]error, connections)
	var all sync.WaitGroup
	for i, w := range workers {
		all.Go(func() { failures[i] = work(w) })
	}
	all.Wait()
	result := Result{Elapsed: time.Since(begun), Latency: newHistogram()}
	for _, w := range workers {
		result.Requests += w.count
		result.Bytes += w.bytes
		result.Latency.Merge(w.latency)
	}
	return result, errors.Join(failures...)
}

// Closed keeps so many connections busy for a time: each sends as soon as it was answered.
func Closed(ctx context.Context, address string, connections int, d time.Duration, next Requests) (Result, error) {
	until := time.Now().Add(d)
	return run(ctx, address, connections, func(w *worker) error {
		// One at least: where connecting takes longer than the round, there would be no rate to compare with.
		for first := true; ctx.Err() == nil && (first || time.Now().Before(until)); first = false {
			if err := w.send(next(w.random), time.Now()); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// Count sends so many requests over so many connections.
func Count(ctx context.Context, address string, connections int, requests int64, next Requests) (Result, error) {
	var sent atomic.Int64
	return run(ctx, address, connections, func(w *worker) error {
		for ctx.Err() == nil && sent.Add(1) <= requests {
			if err := w.send(next(w.random), time.Now()); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// Open sends rate requests a second for a time, at equal distances. A request whose time
// has come is sent by whichever connection is free; when none is, it waits, and its wait
// counts.
func Open(ctx context.Context, address string, connections int, rate float64, d time.Duration, next Requests) (Result, error) {
	begun := time.Now().Add(10 * time.Millisecond)
	distance := time.Duration(float64(time.Second) / rate)
	requests := int64(d / distance)
	var sent atomic.Int64
	return run(ctx, address, connections, func(w *worker) error {
		for ctx.Err() == nil {
			n := sent.Add(1) - 1
			if n >= requests {
				return nil
			}
			request := next(w.random)
			due := begun.Add(time.Duration(n) * distance)
			time.Sleep(time.Until(due))
			if err := w.send(request, due); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}
