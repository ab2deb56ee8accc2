package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// seen is one answer: when it was due to be asked for, how long it took from then, and how
// it ended; 0 is a broken connection.
type seen struct {
	due    time.Time
	took   time.Duration
	status int
}

// open sends rate requests a second, whether or not answers come, over so many connections.
func open(ctx context.Context, address string, connections int, rate float64, d time.Duration, request func(n int64) []byte) []seen {
	begun := time.Now().Add(20 * time.Millisecond)
	distance := time.Duration(float64(time.Second) / rate)
	last := int64(d / distance)
	var next atomic.Int64
	all := make([][]seen, connections)
	var workers sync.WaitGroup
	for i := range connections {
		workers.Go(func() {
			var c *conn
			for ctx.Err() == nil && time.Since(begun) < d { // who is late doesn't make up for it
				n := next.Add(1) - 1
				if n >= last {
					return
				}
				due := begun.Add(time.Duration(n) * distance)
				time.Sleep(time.Until(due))
				if c == nil {
					if c = dial(ctx, address); c == nil {
						all[i] = append(all[i], seen{due, time.Since(due), 0})
						continue
					}
				}
				status, keep := c.do(request(n))
				all[i] = append(all[i], seen{due, time.Since(due), status})
				if !keep {
					_ = c.Close()
					c = nil
				}
			}
		})
	}
	workers.Wait()
	answers := slices.Concat(all...)
	slices.SortFunc(answers, func(a, b seen) int { return a.due.Compare(b.due) })
	return answers
}

type conn struct {
	net.Conn
	reader *bufio.Reader
}

func dial(ctx context.Context, address string) *conn {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}
}

func (c *conn) do(request []byte) (status int, keep bool) {
	if _, err := c.Write(request); err != nil {
		return 0, false
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err == nil && answer.Body.Close() == nil && !answer.Close
}

// of picks answers.
func of(all []seen, keep func(seen) bool) []seen {
	var some []seen
	for _, s := range all {
		if keep(s) {
			some = append(some, s)
		}
	}
	return some
}

func good(s seen) bool    { return s.status/100 == 2 }
func refused(s seen) bool { return s.status == http.StatusServiceUnavailable }

func percentile(all []seen, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	took := make([]time.Duration, len(all))
	for i, s := range all {
		took[i] = s.took
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(p/100*float64(len(took))))]
}
