package audit

import (
	"context"
	"sync"
	"time"
)

// readingPause is for how long one record stands for all that a caller reads of a trail's leaves.
const readingPause = time.Hour

// reading is who reads whose leaves.
type reading struct{ issuer, subject, organization string }

// readings remembers what was recorded of whom, so that a walk over thousands of tiles is
// one entry of the admin trail.
type readings struct {
	mutex    sync.Mutex
	recorded map[reading]time.Time
}

// stands reports whether a record still stands for the reading. What doesn't is forgotten.
func (r *readings) stands(key reading, now time.Time) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for other, at := range r.recorded {
		if now.Sub(at) >= readingPause {
			delete(r.recorded, other)
		}
	}
	_, stands := r.recorded[key]
	return stands
}

func (r *readings) record(key reading, now time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.recorded == nil {
		r.recorded = map[reading]time.Time{}
	}
	r.recorded[key] = now
}

// LeavesRead records in the admin trail that somebody reads a trail's leaves, which hold ids and
// actions in plain, from a position on. It does so once an hour for each reader and trail (and
// for each instance of the service), before any leaf is given out: who can't be recorded gets
// none, and the error is [ErrUnavailable].
func (s *Service) LeavesRead(ctx context.Context, organization string, by Principal, position int64) error {
	key, now := reading{by.Issuer, by.Subject, organization}, time.Now()
	if s.readings.stands(key, now) {
		return nil
	}
	err := s.recordOwn(ctx, "audit_log.leaves_read", organization, by, struct {
		From int64 `json:"from"`
	}{position})
	if err == nil {
		s.readings.record(key, now)
	}
	return err
}
