package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// The thirteen months that all entries are from. They don't move with the clock, so that
// a dataset is the same whenever it is made.
var (
	first = time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
	last  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// Trail is one organization's.
type Trail struct {
	Organization string
	Size         int64
	users        int // how many people there are; the k-th acts in proportion to 1/k
	resources    int // of each type; likewise
}

// Large is the organization that half of all entries are of; Middle are four of a
// twentieth each.
const Large = "large"

// Middle names one of the organizations of a twentieth of all entries.
func Middle(n int) string { return fmt.Sprintf("middle-%d", n) }

// trailsOf shares entries among organizations: a half, four twentieths, twenty hundredths,
// and a tenth among hundreds of a few thousand. The platform's own trail comes last.
func trailsOf(entries int) []Trail {
	var trails []Trail
	add := func(organization string, size int) {
		trails = append(trails, Trail{
			Organization: organization, Size: int64(size),
			users: min(max(size/250, 4), 20_000), resources: min(max(size/25, 10), 200_000),
		})
	}
	add(Large, entries/2)
	for n := range 4 {
		add(Middle(n+1), entries/20)
	}
	for n := range 20 {
		add(fmt.Sprintf("minor-%02d", n+1), entries/100)
	}
	small := min(max(entries/30_000, 3), 300)
	weights, left := 0.0, entries-entries/2-4*(entries/20)-20*(entries/100)
	for n := range small {
		weights += 1 / float64(n+20)
	}
	rest := left
	for n := range small {
		size := int(float64(left) / float64(n+20) / weights)
		if n == small-1 {
			size = rest
		}
		rest -= size
		add(fmt.Sprintf("small-%03d", n+1), size)
	}
	add(audit.AdminOrganization, entries/10)
	return trails
}

// arrivals is whose entry comes when: every trail as often as its size says, in a random
// order, as the entries of real organizations lie between each other's.
func arrivals(trails []Trail, seed uint64) []uint16 {
	var order []uint16
	for i, t := range trails {
		for range t.Size {
			order = append(order, uint16(i))
		}
	}
	r := rand.New(rand.NewPCG(seed, math.MaxUint64))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// calendar spreads arrivals over the months: by day more than at night, on workdays more
// than on others.
type calendar []float64 // by hour, how much of all has come before it

func newCalendar() calendar {
	var c calendar
	sum := 0.0
	for at := first; at.Before(last); at = at.Add(time.Hour) {
		c = append(c, sum)
		weight := 1.0
		if h := at.Hour(); h >= 7 && h < 19 {
			weight = 4
		}
		if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
			weight /= 3
		}
		sum += weight
	}
	for i := range c {
		c[i] /= sum
	}
	return append(c, 1)
}

// at is when a fraction of everything has arrived; hint is an hour that isn't after it.
func (c calendar) at(fraction float64, hint *int) time.Time {
	for *hint+2 < len(c) && c[*hint+1] <= fraction {
		*hint++
	}
	within := (fraction - c[*hint]) / (c[*hint+1] - c[*hint])
	return first.Add(time.Duration((float64(*hint) + within) * float64(time.Hour))).Truncate(time.Microsecond)
}

// sealed is an entry as it is stored, but for its position.
type sealed struct {
	trail uint16
	at    time.Time
	entry audit.Admitted
	text  []byte
	salts []byte
	hash  []byte
}

// generator makes entries. Each chunk has a random source of its own, so that chunks can
// be made side by side and the same seed gives the same dataset.
type generator struct {
	seed     uint64
	trails   []Trail
	order    []uint16
	calendar calendar
	actions  chances
}

func newGenerator(entries int, seed uint64) *generator {
	trails := trailsOf(entries)
	return &generator{seed, trails, arrivals(trails, seed), newCalendar(), falling(len(actions))}
}

const chunkSize = 4096

func (g *generator) chunks() int { return (len(g.order) + chunkSize - 1) / chunkSize }

func (g *generator) chunk(n int) ([]sealed, error) {
	from, to := n*chunkSize, min((n+1)*chunkSize, len(g.order))
	r := rand.New(rand.NewPCG(g.seed, uint64(n)))
	entries := make([]sealed, 0, to-from)
	hour := 0
	for i := from; i < to; i++ {
		s := sealed{trail: g.order[i], at: g.calendar.at(float64(i)/float64(len(g.order)), &hour)}
		if err := g.seal(&s, r); err != nil {
			return nil, err
		}
		entries = append(entries, s)
	}
	return entries, nil
}

// seal makes the entry as the service would: through admission, with real leaves. Only
// the salts come from the seed instead of the system's randomness.
func (g *generator) seal(s *sealed, r *rand.Rand) error {
	trail := g.trails[s.trail]
	var err error
	if trail.Organization == audit.AdminOrganization {
		s.entry, err = audit.AdmitAdmin(g.adminEntry(r, s.at))
	} else {
		draft := g.draft(r, trail)
		draft.ID = newID(r, s.at)
		s.entry, err = audit.Admit(draft, "")
	}
	if err != nil {
		return err
	}
	s.text = s.entry.Seal("control-plane", time.Time{})
	s.salts = audit.NewSalts(trail.Organization, s.text)
	const salt = 16 // behind each salt's number
	for at := 1; at < len(s.salts); at += salt + 1 {
		binary.LittleEndian.PutUint64(s.salts[at:], r.Uint64())
		binary.LittleEndian.PutUint64(s.salts[at+8:], r.Uint64())
	}
	leaf, err := audit.Leaf(trail.Organization, s.at, s.text, s.salts)
	if err != nil {
		return err
	}
	s.hash = merkle.LeafHash(leaf)
	return nil
}

// newID is a UUID of version 7.
func newID(r *rand.Rand, at time.Time) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|0x7000|uint64(r.IntN(1<<12)))
	binary.BigEndian.PutUint64(id[8:], 1<<63|r.Uint64()>>2)
	return id.String()
}

// named is the UUID of the k-th of a kind in a trail, always the same.
func named(organization, kind string, k int) string {
	const multiplier = 0x9E3779B97F4A7C15
	h := uint64(14695981039346656037)
	for _, c := range []byte(organization + "/" + kind) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h += uint64(k+1) * multiplier
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], h*multiplier)
	binary.BigEndian.PutUint64(id[8:], (h^h>>29)*multiplier)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// rank draws 0 ≤ k < n in proportion to 1/(k+1), by the integral of that.
func rank(r *rand.Rand, n int) int {
	return min(int(math.Pow(float64(n+1), r.Float64()))-1, n-1)
}

// User is the id of the k-th busiest person of an organization, from 0.
func User(organization string, k int) string { return named(organization, "user", k) }

func (g *generator) draft(r *rand.Rand, t Trail) audit.Draft {
	action := actions[g.actions.draw(r)]
	noun, verb, _ := strings.Cut(action, ".")
	kind := resourceTypes[noun]
	user := rank(r, t.users)
	d := audit.Draft{
		Action: action, ResourceType: kind,
		UserID: User(t.Organization, user), UserName: firstNames[user%len(firstNames)] + " " + lastNames[user/len(firstNames)%len(lastNames)],
		IPAddress: fmt.Sprintf("203.0.113.%d", user%250+1), UserAgent: agents[user%len(agents)],
	}
	switch kind {
	case "organization":
		d.ResourceID, d.ResourceName = t.Organization, t.Organization
	case "user":
		d.ResourceID, d.ResourceName = d.UserID, d.UserName
	default:
		k := rank(r, t.resources)
		d.ResourceID = named(t.Organization, kind, k)
		d.ResourceName = products[k%len(products)] + "-" + strconv.Itoa(k/len(products)+1)
	}
	d.BeforeState, d.AfterState = states(r, noun, verb)
	return d
}

// Draft makes an entry that a busy organization might send now, without an id.
func Draft(r *rand.Rand, organization string) audit.Draft {
	g := generator{actions: everyAction}
	return g.draft(r, Trail{Organization: organization, users: 2_000, resources: 20_000})
}

var everyAction = falling(len(actions))

// states are of 100 to 600 bytes each, shorter ones more often: what was and what is
// now, one of them for a beginning or an end, and mostly none for a sign-in.
func states(r *rand.Rand, noun, verb string) (before, after []byte) {
	if noun == "auth" && r.IntN(10) < 7 {
		return nil, nil
	}
	length := 100 + int(500*math.Pow(r.Float64(), 1.6))
	after = state(r, length)
	switch verb {
	case "created", "invited", "joined", "registered", "issued", "triggered", "login":
		return nil, after
	case "deleted", "removed", "revoked":
		return after, nil
	}
	return state(r, length), after
}

func state(r *rand.Rand, length int) []byte {
	b := make([]byte, 0, length+64)
	b = fmt.Appendf(b, `{"status":%q,"region":%q,"revision":%d`, pick(r, statuses), pick(r, regions), r.IntN(10_000))
	if length > 160 {
		b = fmt.Appendf(b, `,"size":%q,"image":"registry.example/%s:%d.%d.%d","replicas":%d`,
			pick(r, sizes), pick(r, products), r.IntN(9), r.IntN(20), r.IntN(40), r.IntN(12)+1)
	}
	if length > 260 {
		b = fmt.Appendf(b, `,"labels":{"team":%q,"tier":"%d","cost":%d.%02d},"ports":[%d,443]`,
			pick(r, products), r.IntN(3), r.IntN(900), r.IntN(100), 8000+r.IntN(900))
	}
	b = append(b, `,"note":"`...)
	for len(b) < length-8 {
		b = append(append(b, pick(r, words)...), ' ')
	}
	return append(b, `."}`...)
}

// adminCases are how many different cases admin entries refer to; a search for one of
// them finds one in so many.
const adminCases = 700

// AdminCase names one of the cases that admin entries refer to.
func AdminCase(k int) string { return fmt.Sprintf("case-%08x", uint32(k+1)*2654435761) }

func (g *generator) adminEntry(r *rand.Rand, at time.Time) []byte {
	organization := g.trails[rank(r, len(g.trails)-1)].Organization
	user := rank(r, 200)
	b := fmt.Appendf(nil, `{"id":%q,"action":%q,"userId":%q,"userName":"%s %s","organizationId":%q,"details":{`,
		newID(r, at), pick(r, adminActions), User("platform", user), firstNames[user%len(firstNames)], lastNames[user/len(firstNames)],
		organization)
	b = fmt.Appendf(b, `"case":%q,"reason":"`, AdminCase(r.IntN(adminCases)))
	for range 12 {
		b = append(append(b, pick(r, words)...), ' ')
	}
	b = fmt.Appendf(b, `.","before":%s`, state(r, 130))
	b = fmt.Appendf(b, `,"after":%s}`, state(r, 130))
	return fmt.Appendf(b, `,"ipAddress":"198.51.100.%d","userAgent":%q}`, user%250+1, agents[user%3])
}
