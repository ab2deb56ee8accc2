package importer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"ocore.dev/audit/internal/audit"
)

// demoRecords is about how many records a demonstration has.
const demoRecords = 2000

// Demo invents the trail of a believable organization: who signed in, deployed, resized,
// failed and rolled back over so many days (at least one) before the day of now. It
// begins with the organization's first working day, so that everything in it is created
// before it changes, and what an entry shows as the state before is what the one before
// it left. There are about 2,000 records (fewer in a single day), sorted by time, and
// always the same ones for the same seed, day (of UTC) and number of days.
func Demo(seed int64, now time.Time, days int) []Record {
	days = max(days, 1)
	end := now.UTC().Truncate(24 * time.Hour)
	s := &story{
		start:  end.AddDate(0, 0, -days),
		end:    end,
		key:    fmt.Sprintf("demo/%d/%s/%d", seed, end.Format(time.DateOnly), days),
		random: rand.New(rand.NewPCG(uint64(seed), uint64(end.Unix()))),
	}
	if first := s.firstWorkday(); first.Before(end) {
		s.start = first
	}
	s.found()
	for day := s.start; day.Before(end); day = day.AddDate(0, 0, 1) {
		s.total += weight(day)
		s.plan(day.Add(time.Hour), s.day)
	}
	for len(s.agenda) > 0 && s.agenda[0].at.Before(end) {
		next := s.agenda[0]
		s.agenda = s.agenda[1:]
		next.do(next.at)
	}
	return s.records
}

// story is a simulation: an agenda of moments in order of time, each of which records
// what happens then and may plan more.
type story struct {
	start, end    time.Time
	total, passed int    // the weights of all days, and of those so far
	key           string // what all ids derive from
	ids           int
	random        *rand.Rand
	agenda        []moment
	records       []Record
	company
}

type moment struct {
	at time.Time
	do func(at time.Time)
}

func (s *story) plan(at time.Time, do func(at time.Time)) {
	at = at.Truncate(time.Microsecond)
	i, _ := slices.BinarySearchFunc(s.agenda, at, func(m moment, at time.Time) int {
		if m.at.After(at) {
			return 1
		}
		return -1
	})
	s.agenda = slices.Insert(s.agenda, i, moment{at, do})
}

// thing is anything with a life of its own in the trail.
type thing struct {
	kind, id, name string
	state          []byte // as its last entry left it; nil before it exists
}

// actor is who does something, and from where.
type actor struct{ id, name, address, agent string }

// record writes one entry. The thing's state goes from what it was to after; nil is
// its end.
func (s *story) record(at time.Time, who actor, action string, what *thing, after any) {
	draft := audit.Draft{
		ID: s.newID(), Action: action,
		ResourceType: what.kind, ResourceID: what.id, ResourceName: what.name,
		UserID: who.id, UserName: who.name, IPAddress: who.address, UserAgent: who.agent,
		BeforeState: what.state,
	}
	what.state = nil
	if after != nil {
		what.state = state(after)
	}
	draft.AfterState = what.state
	s.records = append(s.records, Record{Place: fmt.Sprintf("demo:record %d", len(s.records)+1), Draft: draft, Time: at})
}

func state(of any) []byte {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // only the types of this file and demo_company.go come here
	}
	return text
}

func (s *story) newID() string {
	s.ids++
	return uuid.NewSHA1(namespace, fmt.Appendf(nil, "%s/%d", s.key, s.ids)).String()
}

func (s *story) newThing(kind, name string) *thing {
	return &thing{kind: kind, id: s.newID(), name: name}
}

func (s *story) chance(percent int) bool { return s.random.IntN(100) < percent }

// between is a random duration.
func (s *story) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.random.Int64N(int64(most-least)))
}

func choose[T any](s *story, from []T) T { return from[s.random.IntN(len(from))] }

func isWorkday(day time.Time) bool {
	return day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
}

func (s *story) firstWorkday() time.Time {
	day := s.start
	for !isWorkday(day) {
		day = day.AddDate(0, 0, 1)
	}
	return day
}
