package postgres

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"ocore.dev/audit/internal/audit"
)

// Bounds of what waits and of what one transaction carries.
const (
	maxWaitingBytes = 64 << 20
	maxQueue        = 4096
	maxGroupEntries = 2000
)

// batcher commits together what waits at the same time. There is no timer: a writer
// takes a request as soon as it is idle, and with it everything that came meanwhile.
// Each writer owns some of the organizations, so that two of one process never wait for
// each other's head.
type batcher struct {
	queues  []chan *request
	waiting *semaphore.Weighted
	bytes   atomic.Int64 // what waiting holds, for who looks
	commit  *committer
	closing sync.RWMutex // held for reading while a request is put into a queue
	closed  bool
	writers sync.WaitGroup
}

// request is one submission on its way to being committed.
type request struct {
	submission audit.Submission
	sealed     []audit.Sealed   // of each entry but imports, whose text holds the time of the commit
	context    context.Context  // of the caller, who may have gone before its turn comes
	outcome    chan outcome     // holds one, so that a writer never waits for a caller
	leave      func()           // gives back its part of what may wait
	placed     map[string]int64 // the position of each id that an attempt to commit it placed
}

// answer ends the request, whether or not its caller is still there.
func (r *request) answer(o outcome) {
	r.leave()
	r.outcome <- o
}

type outcome struct {
	receipts []audit.Receipt
	err      error
}

func newBatcher(writers int, commit *committer) *batcher {
	b := &batcher{waiting: semaphore.NewWeighted(maxWaitingBytes), commit: commit}
	for range writers {
		queue := make(chan *request, maxQueue)
		b.queues = append(b.queues, queue)
		b.writers.Go(func() { b.write(queue) })
	}
	return b
}

// append waits until the submission is committed or refused. When ctx ends first, the
// outcome is unknown to the caller, as after any lost answer.
func (b *batcher) append(ctx context.Context, submission audit.Submission) ([]audit.Receipt, error) {
	weight := weigh(submission)
	if !b.waiting.TryAcquire(weight) {
		return nil, audit.ErrOverloaded
	}
	b.bytes.Add(weight)
	leave := func() {
		b.bytes.Add(-weight)
		b.waiting.Release(weight)
	}
	sealed, err := seal(&submission)
	if err != nil {
		leave()
		return nil, err
	}
	r := &request{submission, sealed, ctx, make(chan outcome, 1), leave, map[string]int64{}}
	if !b.enqueue(r) {
		r.leave()
		return nil, audit.ErrOverloaded
	}
	select {
	case o := <-r.outcome:
		return o.receipts, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// seal does what needs no place in the trail, while others may hold its lock. What was sent
// is the beginning of what is stored, so that one text waits and not two.
func seal(s *audit.Submission) ([]audit.Sealed, error) {
	s.Entries = slices.Clone(s.Entries)
	sealed := make([]audit.Sealed, len(s.Entries))
	for i, e := range s.Entries {
		if !e.OriginalTime.IsZero() {
			continue
		}
		var err error
		if sealed[i], err = audit.NewSealed(s.Organization, e.Seal(s.RecordedBy, time.Time{})); err != nil {
			return nil, err
		}
		s.Entries[i].Content = sealed[i].Text[:len(e.Content)]
	}
	return sealed, nil
}

// weigh estimates the bytes that a submission holds. One over the bound, as an import's
// may be, goes when nothing else waits.
func weigh(s audit.Submission) int64 {
	var bytes int64
	for _, e := range s.Entries {
		bytes += int64(len(e.Content)) + 1024
	}
	return min(bytes, maxWaitingBytes)
}

func (b *batcher) enqueue(r *request) bool {
	b.closing.RLock()
	defer b.closing.RUnlock()
	if b.closed {
		return false
	}
	hash := fnv.New32a()
	hash.Write([]byte(r.submission.Organization))
	select {
	case b.queues[hash.Sum32()%uint32(len(b.queues))] <- r:
		return true
	default:
		return false
	}
}

// close refuses new requests and returns once the waiting ones have their outcome.
func (b *batcher) close() {
	b.closing.Lock()
	if !b.closed {
		b.closed = true
		for _, queue := range b.queues {
			close(queue)
		}
	}
	b.closing.Unlock()
	b.writers.Wait()
}

func (b *batcher) write(queue chan *request) {
	for first := range queue {
		b.commit.group(gather(first, queue))
	}
}

// gather takes what waits behind first, up to the bounds of one transaction.
func gather(first *request, queue chan *request) []*request {
	var group []*request
	entries := 0
	for r := first; r != nil; {
		group = append(group, r)
		entries += len(r.submission.Entries)
		r = nil
		if entries < maxGroupEntries {
			select {
			case r = <-queue: // nil once closed and empty
			default:
			}
		}
	}
	return group
}
