package httpapi

import (
	"io"
	"sync"

	"github.com/labstack/echo/v4"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
)

// How much is worked on at once. Reads are as many as the store has connections for them:
// more would wait there, where nobody asks whose turn it is. Writes that wait at once are
// committed together. Exports take connections of reads, a chunk at a time, so that these
// few leave most to pages.
const (
	readSlots, readQueue     = 8, 128
	writeSlots, writeQueue   = 256, 256
	exportSlots, exportQueue = 4, 4
	maxBodyBytes             = 64 << 20 // of all bodies that are read or worked on
)

// admission decides who is worked on, by what is at work already. Each kind has a lane of
// its own, so that none starves another.
type admission struct {
	reads, writes, exports *lane
	bodies                 *budget
}

func newAdmission(m *metrics.Metrics) *admission {
	a := &admission{
		newLane("reads", readSlots, readQueue), newLane("writes", writeSlots, writeQueue), newLane("exports", exportSlots, exportQueue),
		newBudget(maxBodyBytes),
	}
	for _, l := range []*lane{a.reads, a.writes, a.exports} {
		m.WatchLane(l.name, l.state)
	}
	m.Watch("body_bytes", "Bytes of request bodies that are being read or worked on.", func() float64 { return float64(a.bodies.inUse()) })
	return a
}

// bulk are the operations that read for longer than one page takes.
var bulk = map[string]bool{"exportAuditLogs": true}

func (a *admission) lane(op operation) *lane {
	switch {
	case bulk[op.id]:
		return a.exports
	case op.writes:
		return a.writes
	}
	return a.reads
}

// admit lets a call into its lane while its handler runs: not while its body comes or its
// answer goes, at whatever pace its caller likes. A bulk read stays until its end, because
// its answer is read from the database as it goes.
func (a *admission) admit(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(e echo.Context, request any) (any, error) {
		c := callOf(e.Request().Context())
		if err := c.lane.enter(e.Request().Context(), c.organization); err != nil {
			return nil, err
		}
		if c.lane == a.exports {
			c.atEnd(func() { c.lane.leave(c.organization) })
		} else {
			defer c.lane.leave(c.organization)
		}
		return next(e, request)
	}
}

// budget bounds bytes in memory; one organization may have three quarters of it.
type budget struct {
	limit int
	mutex sync.Mutex
	total int
	by    map[string]int
}

func newBudget(limit int) *budget { return &budget{limit: limit, by: map[string]int{}} }

func (b *budget) take(organization string, n int) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.total+n > b.limit || b.by[organization]+n > share(b.limit) {
		return false
	}
	b.total += n
	b.by[organization] += n
	return true
}

func (b *budget) give(organization string, n int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.total -= n
	if b.by[organization] -= n; b.by[organization] == 0 {
		delete(b.by, organization)
	}
}

func (b *budget) inUse() int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.total
}

// meter counts what is read of a call's body, and what that unpacks to, against the budget
// until the call ends; past it reading fails with [audit.ErrOverloaded].
func (b *budget) meter(c *call, from io.Reader) *meter {
	m := &meter{from: from, budget: b, organization: c.organization}
	c.atEnd(func() { b.give(m.organization, m.taken) })
	return m
}

type meter struct {
	from         io.Reader
	budget       *budget
	organization string
	taken        int
}

func (m *meter) take(n int) bool {
	if !m.budget.take(m.organization, n) {
		return false
	}
	m.taken += n
	return true
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if !m.take(n) {
		return 0, audit.ErrOverloaded
	}
	return n, err
}
