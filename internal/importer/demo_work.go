package importer

import (
	"slices"
	"time"
)

// found begins the story: the owner signs in, invites the team, and sets up servers and
// instances. Contractors come later, and leave.
func (s *story) found() {
	owner := s.newPerson(team[0])
	owner.membership = membership{owner.email, owner.role, "active"}
	owner.member.state = state(owner.membership)
	s.join(owner, s.start)
	s.profile = profile{"Halden Freight", owner.email, "NO", "Europe/Oslo", settings{false, 720, []string{}}}
	s.org = s.newThing("organization", s.profile.Name)
	s.org.state = state(s.profile)

	who := actor{owner.id, owner.name, office, owner.agent}
	at := s.start.Add(7*time.Hour + 38*time.Minute)
	next := func(do func(at time.Time)) {
		at = at.Add(s.between(20*time.Second, 3*time.Minute))
		s.plan(at, do)
	}
	next(func(at time.Time) { s.signIn(at, owner, who) })
	next(func(at time.Time) { s.updateProfile(at, owner, who) })
	next(func(at time.Time) { s.updateSettings(at, owner, who) })
	for _, h := range team[1:] {
		next(func(at time.Time) { s.invite(at, s.newPerson(h), who) })
	}
	for _, name := range firstServers {
		next(func(at time.Time) { s.createServer(at, name, who) })
	}
	for _, product := range products {
		next(func(at time.Time) {
			s.createInstance(at, product+"-production", "production", choose(s, firstServers[:2]), who)
		})
		next(func(at time.Time) { s.createInstance(at, product+"-staging", "staging", "staging-01", who) })
	}
	for i, h := range contractors {
		share := time.Duration(1 + 2*i)
		s.plan(s.workTime(s.start.Add(s.end.Sub(s.start)*share/10)), func(at time.Time) { s.contract(at, h) })
	}
}

func (s *story) contract(at time.Time, h hire) {
	p := s.newPerson(h)
	s.invite(at, p, s.actor(s.manager(), at))
	leaves := s.workTime(at.Add(s.end.Sub(s.start) / 4))
	if soonest := at.Add(3 * time.Hour); leaves.Before(soonest) {
		leaves = soonest
	}
	s.plan(leaves, func(at time.Time) { s.remove(at, p) })
}

// workTime moves a time into the working hours of its day, or of the next working day.
func (s *story) workTime(at time.Time) time.Time {
	day := at.Truncate(24 * time.Hour)
	for !isWorkday(day) {
		day = day.AddDate(0, 0, 1)
	}
	return day.Add(s.between(10*time.Hour, 16*time.Hour))
}

// sessionRecords is about how many records come of one session.
const sessionRecords = 6

func weight(day time.Time) int {
	if isWorkday(day) {
		return 12
	}
	return 1
}

// day plans a day's sessions: as many as are due by its end, so that what chance gave
// too much or too little evens out.
func (s *story) day(at time.Time) {
	day := at.Truncate(24 * time.Hour)
	s.passed += weight(day)
	due := demoRecords*s.passed/s.total - len(s.records)
	if due <= 0 {
		return
	}
	opens := 7 * time.Hour
	if day.Equal(s.start) {
		opens = 11 * time.Hour // the first day begins with the founding
	}
	sessions := due / sessionRecords
	if s.chance(100 * (due % sessionRecords) / sessionRecords) {
		sessions++
	}
	for range sessions {
		// The mean of two times: most of them in the middle of the day.
		start := (s.between(opens, 17*time.Hour) + s.between(opens, 17*time.Hour)) / 2
		s.plan(day.Add(start), s.session)
	}
	s.plan(day.Add(s.between(2*time.Hour, 2*time.Hour+9*time.Minute)), s.nightlyBackup)
	if s.chance(7) {
		s.plan(day.Add(s.between(3*time.Hour, 4*time.Hour)), s.attack)
	}
}

// session is a person signing in, doing a few things, and mostly signing out.
func (s *story) session(at time.Time) {
	p := choose(s, s.staff)
	who := s.actor(p, at)
	at = s.attempts(at, p, who)
	unlessGone := func(do func(at time.Time)) func(at time.Time) {
		return func(at time.Time) {
			if !p.left {
				do(at)
			}
		}
	}
	var open *thing
	s.plan(at, unlessGone(func(at time.Time) { open = s.signIn(at, p, who) }))
	for range 2 + s.random.IntN(5) {
		at = at.Add(s.between(40*time.Second, 14*time.Minute))
		s.plan(at, unlessGone(func(at time.Time) { s.work(at, p, who) }))
	}
	if s.chance(60) {
		at = at.Add(s.between(time.Minute, 20*time.Minute))
		s.plan(at, unlessGone(func(at time.Time) { s.record(at, who, "auth.logout", open, nil) }))
	}
}

// attempts are the failures before a login. It returns when the right one comes.
func (s *story) attempts(at time.Time, p *person, who actor) time.Time {
	failures := 0
	if s.chance(9) {
		failures = 1 + s.random.IntN(2)
	}
	forgotten := s.chance(2)
	if forgotten {
		failures = 5
	}
	for range failures {
		s.plan(at, func(at time.Time) { s.failLogin(at, p, who, "wrong password") })
		at = at.Add(s.between(5*time.Second, 40*time.Second))
	}
	if forgotten {
		at = at.Add(s.between(time.Minute, 6*time.Minute))
		s.plan(at, func(at time.Time) { s.changePassword(at, p, who, "auth.password_reset") })
		at = at.Add(s.between(10*time.Second, time.Minute))
	}
	return at
}

func (s *story) signIn(at time.Time, p *person, who actor) *thing {
	method := "password"
	switch {
	case p.security.Passkeys > 0 && s.chance(70):
		method = "passkey"
	case p.security.TOTPEnabled:
		method = "password+totp"
	}
	session := s.newThing("session", "")
	s.record(at, who, "auth.login", session, login{Email: p.email, Method: method})
	return session
}

func (s *story) failLogin(at time.Time, p *person, who actor, why string) {
	s.record(at, who, "auth.login_failed", &thing{kind: "session"}, login{p.email, "password", why})
}

// attack is somebody outside who tries passwords at night, and fails.
func (s *story) attack(at time.Time) {
	p := choose(s, s.staff)
	who := actor{"", p.email, attacker, "python-requests/2.32.5"}
	for range 6 + s.random.IntN(12) {
		s.plan(at, func(at time.Time) { s.failLogin(at, p, who, "wrong password") })
		at = at.Add(s.between(2*time.Second, 9*time.Second))
	}
	s.plan(at, func(at time.Time) { s.failLogin(at, p, who, "too many attempts") })
}

type task struct {
	weight int
	roles  []string
	do     func(at time.Time, p *person, who actor)
}

// work does one of the things that the person's role allows.
func (s *story) work(at time.Time, p *person, who actor) {
	everyone := []string{"Owner", "Admin", "Developer", "Viewer"}
	builders := []string{"Admin", "Developer"}
	admins := []string{"Admin"}
	managers := []string{"Owner", "Admin"}
	owner := []string{"Owner"}
	tasks := []task{
		{34, builders, s.deploy},
		{12, builders, s.restart},
		{7, builders, s.stop},
		{12, builders, s.tune},
		{9, builders, s.backUp},
		{7, builders, s.review},
		{14, admins, s.resize},
		{4, admins, s.addServer},
		{4, admins, s.deleteServer},
		{4, managers, s.changeRole},
		{4, owner, s.updateProfile},
		{7, owner, s.updateSettings},
		{4, everyone, s.secure},
		{16, everyone, func(time.Time, *person, actor) {}}, // looking is not recorded
	}
	tasks = slices.DeleteFunc(tasks, func(t task) bool { return !slices.Contains(t.roles, p.membership.Role) })
	total := 0
	for _, t := range tasks {
		total += t.weight
	}
	dice := s.random.IntN(total)
	for _, t := range tasks {
		if dice -= t.weight; dice < 0 {
			t.do(at, p, who)
			return
		}
	}
}
