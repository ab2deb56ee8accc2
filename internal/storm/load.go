package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
)

// load is the clients of one round.
type load struct {
	rig       *rig
	clients   map[string][2]*trail.Client // by organization, one for each instance
	hasty     map[string][2]*trail.Client // that give up after 10 ms
	tokens    map[string]string
	positions map[string]int64 // by organization: of the entry that was recorded after healing
	mu        sync.Mutex
	findings  []string
}

func newLoad(r *rig) (*load, error) {
	l := &load{rig: r, clients: map[string][2]*trail.Client{}, hasty: map[string][2]*trail.Client{}, tokens: map[string]string{}, positions: map[string]int64{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	for _, organization := range append([]string{audit.AdminOrganization}, r.trails...) {
		belongs := organization
		if organization == audit.AdminOrganization {
			belongs = r.trails[0]
		}
		token, err := r.token(belongs)
		if err != nil {
			return nil, err
		}
		recorded := &http.Client{Transport: &recorder{transport, r.history, organization, l.find}}
		var patient, hasty [2]*trail.Client
		for n, i := range r.instances {
			common := []trail.Option{trail.WithToken(token), trail.WithHTTPClient(recorded), trail.WithBackOff(10*time.Millisecond, 200*time.Millisecond)}
			if patient[n], err = trail.New(i.url(), append(common, trail.WithAttempts(3), trail.WithAttemptTimeout(3*time.Second))...); err != nil {
				return nil, err
			}
			if hasty[n], err = trail.New(i.url(), append(common, trail.WithAttempts(5), trail.WithAttemptTimeout(10*time.Millisecond))...); err != nil {
				return nil, err
			}
		}
		l.clients[organization], l.hasty[organization], l.tokens[organization] = patient, hasty, token
	}
	return l, nil
}

func (l *load) find(finding string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.findings) < 20 {
		l.findings = append(l.findings, finding)
	}
}

func (l *load) found() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []error
	for _, f := range l.findings {
		all = append(all, errors.New(f))
	}
	return errors.Join(all...)
}

// writers are for each trail; more would only wait for each other.
const writers = 4

// run goes on until ctx ends, and returns when every call has come back.
func (l *load) run(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	n := seed
	random := func() *rand.Rand {
		n++
		return rand.New(rand.NewPCG(seed, n))
	}
	for _, organization := range l.rig.trails {
		for range writers {
			w := &writer{load: l, organization: organization, random: random(), last: -1}
			all.Go(func() { w.run(ctx) })
		}
		reader := random()
		all.Go(func() { l.walk(ctx, organization, reader) })
		exporter := random()
		all.Go(func() { l.export(ctx, organization, exporter) })
	}
	for organization := range l.clients {
		all.Go(func() { l.watch(ctx, organization) })
	}
	administrator := random()
	all.Go(func() { l.administer(ctx, administrator) })
	all.Wait()
}

// writer records one entry, or one batch, after the other.
type writer struct {
	load         *load
	organization string
	random       *rand.Rand
	last         int64 // position of the last acknowledgement
	own          []trail.Entry
}

func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		call := context.WithoutCancel(ctx) // a call that has begun ends by itself
		instance := w.random.IntN(2)
		c := w.load.clients[w.organization][instance]
		switch w.random.IntN(20) {
		case 0:
			w.contradict(call, c)
		case 1:
			w.blunder(call, c)
		case 2, 3, 4:
			w.batch(call, c, instance)
		default:
			w.record(call, c, instance)
		}
	}
}

func (w *writer) record(ctx context.Context, c *trail.Client, instance int) {
	e := newEntry(w.random)
	stored, err := c.Record(ctx, e)
	if err != nil {
		w.pause(err)
		return
	}
	w.took(stored.Position)
	if len(w.own) < 100 {
		w.own = append(w.own, e)
	}
	if w.random.IntN(4) == 0 {
		w.readBack(ctx, e.ID, stored.Position, 1-instance)
	}
}

func (w *writer) batch(ctx context.Context, c *trail.Client, instance int) {
	entries := make([]trail.Entry, 2+w.random.IntN(60))
	for i := range entries {
		entries[i] = newEntry(w.random)
	}
	receipts, err := c.RecordBatch(ctx, entries)
	if err != nil {
		w.pause(err)
		return
	}
	for _, r := range receipts {
		w.took(r.Position)
	}
	w.readBack(ctx, entries[0].ID, receipts[0].Position, 1-instance)
}

// took holds that what a producer sent later stands later.
func (w *writer) took(position int64) {
	if position <= w.last {
		w.load.find(fmt.Sprintf("order: %s: a producer's entry at %d was sent before its entry at %d was", w.organization, w.last, position))
	}
	w.last = position
}

// pause keeps a writer from spinning while nothing can be recorded.
func (w *writer) pause(err error) {
	var p *trail.Problem
	if errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests {
		w.load.find("refused: a good entry: " + err.Error())
	}
	time.Sleep(time.Duration(5+w.random.IntN(30)) * time.Millisecond)
}

// readBack reads what was just acknowledged, at the other instance.
func (w *writer) readBack(ctx context.Context, id string, position int64, instance int) {
	c := w.load.clients[w.organization][instance]
	got, err := c.Entry(ctx, id)
	if errors.Is(err, trail.ErrNotFound) || err == nil && got.Position != position {
		w.load.find(fmt.Sprintf("read your write: %s/%s was acknowledged at %d, and instance %d says %v, %d", w.organization, id, position, instance, err, got.Position))
	}
	if list, err := c.List(ctx, trail.Filter{}, trail.Page{Size: 1}); err == nil && list.Total <= position {
		w.load.find(fmt.Sprintf("read your write: %s has position %d, and instance %d counts %d", w.organization, position, instance, list.Total))
	}
}

// contradict sends another content under an id that has one.
func (w *writer) contradict(ctx context.Context, c *trail.Client) {
	if len(w.own) == 0 {
		return
	}
	e := w.own[w.random.IntN(len(w.own))]
	e.UserName += " or somebody else"
	if _, err := c.Record(ctx, e); err == nil {
		w.load.find("content: an id took a second one: " + w.organization + "/" + e.ID)
	}
}

// blunder sends what must be refused.
func (w *writer) blunder(ctx context.Context, c *trail.Client) {
	e := newEntry(w.random)
	e.Action = ""
	if _, err := c.Record(ctx, e); err == nil {
		w.load.find("invented: an entry without an action was taken: " + e.ID)
	}
}

// walk walks along the trail while it grows.
func (l *load) walk(ctx context.Context, organization string, random *rand.Rand) {
	for ctx.Err() == nil {
		before := l.rig.history.acknowledged(organization)
		seen := map[string]bool{}
		whole := true
		for entry, err := range l.clients[organization][random.IntN(2)].Walk(context.WithoutCancel(ctx), trail.Filter{}) {
			if err != nil {
				whole = false
				break
			}
			if seen[entry.ID] {
				l.find("walk: " + organization + "/" + entry.ID + " came twice")
			}
			seen[entry.ID] = true
		}
		if whole {
			l.holds("walk", organization, before, seen)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// holds finds what was there before a reading began, and isn't in it.
func (l *load) holds(what, organization string, before map[string]int64, seen map[string]bool) {
	missing := 0
	for id := range before {
		if !seen[id] {
			missing++
		}
	}
	if missing > 0 {
		l.find(fmt.Sprintf("%s: %d of %d entries of %s that were acknowledged before it began are missing", what, missing, len(before), organization))
	}
}

// export takes the trail out while it grows. An export that ends cleanly is whole.
func (l *load) export(ctx context.Context, organization string, random *rand.Rand) {
	for ctx.Err() == nil {
		before := l.rig.history.acknowledged(organization)
		reading, writing := io.Pipe()
		go func() {
			err := l.clients[organization][random.IntN(2)].ExportAll(context.WithoutCancel(ctx), trail.Filter{}, trail.JSON, writing)
			writing.CloseWithError(err)
		}()
		if seen, err := readExport(reading); err == nil {
			l.holds("export", organization, before, seen)
		} else if !errors.Is(err, errBroken) {
			l.find("export: one that ended cleanly can't be read: " + err.Error())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var errBroken = errors.New("the export broke off")

func readExport(from io.Reader) (map[string]bool, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	var all struct{ Items []struct{ ID string } }
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, i := range all.Items {
		if seen[i.ID] {
			return nil, fmt.Errorf("%s stands in it twice", i.ID)
		}
		seen[i.ID] = true
	}
	return seen, nil
}

// administer records in the admin trail.
func (l *load) administer(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		_, _ = l.clients[audit.AdminOrganization][random.IntN(2)].RecordAdmin(context.WithoutCancel(ctx), trail.AdminEntry{
			ID: trail.NewID(), Action: "storm.noted", UserName: "Grace Hopper", OrganizationID: l.rig.trails[0],
			Details: json.RawMessage(fmt.Sprintf(`{"z":1.%d0,"a":[%d]}`, random.IntN(10), random.Uint64())),
		}) // what became of it is in the history
		time.Sleep(20 * time.Millisecond)
	}
}

var actions = []string{"server.created", "server.updated", "server.deleted", "member.invited", "key.rotated"}

// newEntry has what is easily lost on the way: digits, order, escapes, unusual letters.
func newEntry(random *rand.Rand) trail.Entry {
	e := trail.Entry{
		ID: trail.NewID(), Action: actions[random.IntN(len(actions))], ResourceType: []string{"server", "member"}[random.IntN(2)],
		ResourceID: fmt.Sprintf("r-%d", random.IntN(200)), UserID: fmt.Sprintf("u-%d", random.IntN(9)), UserName: "Žofie \"<&>\" \u2028 名",
		IPAddress: "198.51.100.7",
	}
	if random.IntN(2) == 0 {
		e.BeforeState = json.RawMessage(fmt.Sprintf(`{"z":%d.10,"a":"\u00e9\/","n":1E+2,"big":%d%d}`, random.IntN(100), random.Uint64(), random.Uint64()))
		e.AfterState = json.RawMessage(fmt.Sprintf(`{"b":[1.0,-0,{"x":null}],"a":%q}`, randomText(random)))
	}
	if random.IntN(3) == 0 {
		e.OccurredAt = time.UnixMicro(time.Now().UnixMicro() - random.Int64N(1e9))
	}
	return e
}

func randomText(random *rand.Rand) string {
	text := make([]byte, random.IntN(600))
	for i := range text {
		text[i] = 'a' + byte(random.IntN(26))
	}
	return string(text)
}

// resolve sends again, under the same ids and at both instances at once, most of what has no
// answer. What is left may be stored or not.
func (l *load) resolve(ctx context.Context, random *rand.Rand) (open, resolved int) {
	ambiguous := l.rig.history.ambiguous()
	keys := slices.SortedFunc(maps.Keys(ambiguous), func(a, b key) int { return strings.Compare(a.organization+a.id, b.organization+b.id) })
	gate := make(chan struct{}, 8)
	var all sync.WaitGroup
	for _, k := range keys {
		blunder := string(ambiguous[k]["action"]) == `""`
		if _, known := l.clients[k.organization]; !known || blunder || k.organization == audit.AdminOrganization || random.IntN(4) == 0 {
			continue
		}
		e, err := entryFrom(ambiguous[k])
		if err != nil {
			l.find(err.Error())
			continue
		}
		resolved++
		for _, c := range l.clients[k.organization] {
			all.Go(func() {
				gate <- struct{}{}
				defer func() { <-gate }()
				l.again(ctx, c, k, e)
			})
		}
	}
	all.Wait()
	return len(keys), resolved
}

func (l *load) again(ctx context.Context, c *trail.Client, k key, e trail.Entry) {
	var err error
	for range 5 {
		if _, err = c.Record(ctx, e); err == nil || errors.Is(err, trail.ErrConflict) && l.rig.history.contents(k) > 1 {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	l.find(fmt.Sprintf("refused: %s/%s had no answer, and can't be sent again after healing: %v", k.organization, k.id, err))
}

// entryFrom is the entry whose request had these members.
func entryFrom(members map[string]json.RawMessage) (e trail.Entry, err error) {
	for name, into := range map[string]*string{
		"id": &e.ID, "action": &e.Action, "resourceType": &e.ResourceType, "resourceId": &e.ResourceID, "resourceName": &e.ResourceName,
		"userId": &e.UserID, "userName": &e.UserName, "ipAddress": &e.IPAddress, "userAgent": &e.UserAgent,
	} {
		if raw, has := members[name]; has {
			if err := json.Unmarshal(raw, into); err != nil {
				return e, err
			}
		}
	}
	if raw, has := members["beforeState"]; has {
		e.BeforeState = raw
	}
	if raw, has := members["afterState"]; has {
		e.AfterState = raw
	}
	if raw, has := members["occurredAt"]; has {
		err = json.Unmarshal(raw, &e.OccurredAt)
	}
	return e, err
}
