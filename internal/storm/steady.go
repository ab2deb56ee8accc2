package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"ocore.dev/audit/gen/client/trail"
)

// steady is a client that tries nothing again, so that it sees every answer.
type steady struct {
	load    *load
	clients [2]*trail.Client
	slots   chan struct{}
	running sync.WaitGroup
}

func newSteady(r *rig, l *load) (*steady, error) {
	s := &steady{load: l, slots: make(chan struct{}, 64)}
	token, err := r.token(r.trails[1])
	if err != nil {
		return nil, err
	}
	transport := &recorder{&http.Transport{MaxIdleConnsPerHost: 64}, r.history, r.trails[1], l.find}
	for n, i := range r.instances {
		s.clients[n], err = trail.New(i.url(), trail.WithToken(token), trail.WithHTTPClient(&http.Client{Transport: transport}),
			trail.WithAttempts(1), trail.WithAttemptTimeout(20*time.Second))
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// send records an entry, whatever became of those before; a request that fails is a finding.
func (s *steady) send(ctx context.Context, instance int, e trail.Entry) {
	s.slots <- struct{}{}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		if _, err := s.clients[instance].Record(ctx, e); err != nil {
			s.load.find(fmt.Sprintf("drain: a request to instance %d failed: %s", instance, err))
		}
	})
}

func (s *steady) wait() { s.running.Wait() }
