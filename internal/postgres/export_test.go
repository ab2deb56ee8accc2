package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// What tests see of a Store beside its methods.

// MaxWaitingBytes and DriverChunk are bounds that tests go past.
const (
	MaxWaitingBytes = maxWaitingBytes
	MaxQueue        = maxQueue
	DriverChunk     = driverChunk
)

// Reads is the pool whose connections every read leaves as it found them.
func (s *Store) Reads() *pgxpool.Pool { return s.reads }

// Waiting is the number of requests that no writer has taken yet.
func (s *Store) Waiting() int {
	waiting := 0
	for _, queue := range s.batcher.queues {
		waiting += len(queue)
	}
	return waiting
}
