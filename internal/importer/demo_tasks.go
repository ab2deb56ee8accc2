package importer

import (
	"fmt"
	"slices"
	"time"
)

// Members.

func (s *story) join(p *person, at time.Time) {
	p.security.PasswordChangedAt = at.Format(time.RFC3339)
	p.user.state = state(p.security)
	s.staff = append(s.staff, p)
}

func (s *story) invite(at time.Time, p *person, who actor) {
	p.membership = membership{p.email, p.role, "invited"}
	s.record(at, who, "member.invited", p.member, p.membership)
	s.plan(at.Add(s.between(4*time.Minute, 100*time.Minute)), func(at time.Time) {
		p.membership.Status = "active"
		s.record(at, s.actor(p, at), "member.joined", p.member, p.membership)
		s.join(p, at)
	})
}

func (s *story) remove(at time.Time, p *person) {
	s.record(at, s.actor(s.staff[0], at), "member.removed", p.member, nil)
	p.left = true
	s.staff = slices.DeleteFunc(s.staff, func(other *person) bool { return other == p })
}

// changeRole lends somebody the next role, or takes it back.
func (s *story) changeRole(at time.Time, p *person, who actor) {
	other := choose(s, s.staff)
	next := map[string]string{"Viewer": "Developer", "Developer": "Admin"}[other.role]
	if other == p || next == "" {
		return
	}
	if other.membership.Role != other.role {
		next = other.role
	}
	other.membership.Role = next
	s.record(at, who, "member.role_changed", other.member, other.membership)
}

// Accounts.

func (s *story) secure(at time.Time, p *person, who actor) {
	switch dice := s.random.IntN(10); {
	case dice < 4 && p.security.Passkeys < 3:
		p.security.Passkeys++
		s.record(at, who, "auth.passkey_registered", p.user, p.security)
	case dice < 6:
		s.changePassword(at, p, who, "auth.password_changed")
	case !p.security.TOTPEnabled:
		p.security.TOTPEnabled = true
		s.record(at, who, "auth.totp_enabled", p.user, p.security)
	case dice < 8:
		p.security.TOTPEnabled = false
		s.record(at, who, "auth.totp_disabled", p.user, p.security)
	}
}

func (s *story) changePassword(at time.Time, p *person, who actor, action string) {
	p.security.PasswordChangedAt = at.Format(time.RFC3339)
	s.record(at, who, action, p.user, p.security)
}

// The organization.

func (s *story) updateProfile(at time.Time, _ *person, who actor) {
	s.profile.BillingEmail = s.another(s.profile.BillingEmail,
		"accounts@halden-freight.example", "billing@halden-freight.example", "finance@halden-freight.example")
	s.record(at, who, "org.updated", s.org, s.profile)
}

func (s *story) updateSettings(at time.Time, _ *person, who actor) {
	set := &s.profile.Settings
	switch s.random.IntN(3) {
	case 0:
		set.RequireTOTP = !set.RequireTOTP
	case 1:
		set.SessionTimeoutMinutes = set.SessionTimeoutMinutes%720 + 240
	default:
		networks := []string{office + "/32", "2001:db8:40::/48"}
		set.AllowedNetworks = networks[:(len(set.AllowedNetworks)+1)%3]
	}
	s.record(at, who, "org.settings_updated", s.org, s.profile)
}

// another is one of the choices that is not the present one.
func (s *story) another(present string, choices ...string) string {
	return choose(s, slices.DeleteFunc(choices, func(c string) bool { return c == present }))
}

// Servers.

var plans = []serverState{
	{Plan: "cx-2", VCPUs: 2, MemoryGB: 4},
	{Plan: "cx-4", VCPUs: 4, MemoryGB: 8},
	{Plan: "cx-8", VCPUs: 8, MemoryGB: 16},
	{Plan: "cx-16", VCPUs: 16, MemoryGB: 32},
}

func (s *story) createServer(at time.Time, name string, who actor) {
	s.machines++
	made := &server{thing: s.newThing("server", name), is: choose(s, plans)}
	made.is.Name = name
	made.is.Region = choose(s, []string{"osl-1", "fra-1", "hel-1"})
	made.is.Address = fmt.Sprintf("192.0.2.%d", 100+s.machines%100)
	made.is.Labels = []string{"managed"}
	s.servers = append(s.servers, made)
	s.record(at, who, "server.created", made.thing, made.is)
}

func (s *story) addServer(at time.Time, _ *person, who actor) {
	if n := len(s.servers); n >= len(firstServers) && n < 9 {
		s.createServer(at, fmt.Sprintf("web-%02d", s.machines-len(firstServers)+3), who)
	}
}

func (s *story) resize(at time.Time, _ *person, who actor) {
	if len(s.servers) == 0 {
		return
	}
	one := choose(s, s.servers)
	plan := choose(s, plans)
	if plan.Plan == one.is.Plan {
		one.is.Labels = append(slices.Clip(one.is.Labels[:1]), s.another(one.is.Labels[len(one.is.Labels)-1], "critical", "spare", "watch"))
	}
	one.is.Plan, one.is.VCPUs, one.is.MemoryGB = plan.Plan, plan.VCPUs, plan.MemoryGB
	s.record(at, who, "server.updated", one.thing, one.is)
}

// deleteServer removes a server that nothing runs on.
func (s *story) deleteServer(at time.Time, _ *person, who actor) {
	for i, one := range s.servers {
		hosts := func(inst *instance) bool { return inst.is.Server == one.name }
		if i >= len(firstServers) && !slices.ContainsFunc(s.instances, hosts) {
			s.servers = slices.Delete(s.servers, i, i+1)
			s.record(at, who, "server.deleted", one.thing, nil)
			return
		}
	}
}

// Instances.

func (s *story) createInstance(at time.Time, name, environment, server string, who actor) {
	made := &instance{thing: s.newThing("instance", name)}
	made.release = release{1 + s.random.IntN(4), s.random.IntN(20), 0}
	made.is = instanceState{name, server, environment, 2, 1024, "info", "running"}
	s.instances = append(s.instances, made)
	s.record(at, who, "instance.created", made.thing, made.is)
}

// review makes or removes an instance on which a change is looked at before it is merged.
func (s *story) review(at time.Time, _ *person, who actor) {
	for i, one := range s.instances {
		if one.is.Environment == "review" && !one.busy && s.chance(60) {
			one.gone = true
			s.instances = slices.Delete(s.instances, i, i+1)
			s.record(at, who, "instance.deleted", one.thing, nil)
			return
		}
	}
	if len(s.servers) > 0 {
		s.reviews++
		name := fmt.Sprintf("%s-review-%d", choose(s, products), 240+s.reviews)
		s.createInstance(at, name, "review", s.servers[len(s.servers)-1].name, who)
	}
}

// idle chooses an instance that runs and is not being deployed to.
func (s *story) idle() (*instance, bool) {
	able := slices.DeleteFunc(slices.Clone(s.instances), func(one *instance) bool { return one.busy || one.is.Status != "running" })
	if len(able) == 0 {
		return nil, false
	}
	return choose(s, able), true
}

func (s *story) restart(at time.Time, _ *person, who actor) {
	if one, ok := s.idle(); ok {
		s.record(at, who, "instance.restarted", one.thing, one.is)
	}
}

func (s *story) stop(at time.Time, _ *person, who actor) {
	one, ok := s.idle()
	if !ok {
		return
	}
	one.is.Status = "stopped"
	s.record(at, who, "instance.stopped", one.thing, one.is)
	s.plan(at.Add(s.between(5*time.Minute, time.Hour)), func(at time.Time) {
		if !one.gone {
			one.is.Status = "running"
			s.record(at, who, "instance.started", one.thing, one.is)
		}
	})
}

func (s *story) tune(at time.Time, _ *person, who actor) {
	one, ok := s.idle()
	if !ok {
		return
	}
	switch s.random.IntN(3) {
	case 0:
		one.is.Workers = one.is.Workers%8 + 2
	case 1:
		one.is.MemoryMB = one.is.MemoryMB%4096 + 1024
	default:
		one.is.LogLevel = s.another(one.is.LogLevel, "debug", "info", "warn")
	}
	s.record(at, who, "instance.settings_updated", one.thing, one.is)
}

// Backups.

func (s *story) backUp(at time.Time, _ *person, who actor) {
	if one, ok := s.idle(); ok {
		s.recordBackup(at, one, "manual", 90, who)
	}
}

func (s *story) nightlyBackup(at time.Time) {
	if one, ok := s.idle(); ok {
		s.recordBackup(at, one, "nightly", 14, scheduler)
	}
}

func (s *story) recordBackup(at time.Time, one *instance, kind string, days int, who actor) {
	backup := s.newThing("backup", one.name+" "+at.Format("2006-01-02 15:04"))
	size := 2<<30 + s.random.Int64N(30<<30)
	s.record(at, who, "backup.created", backup, backupState{one.name, kind, size, days})
}

// Deployments.

func (s *story) deploy(at time.Time, _ *person, who actor) {
	one, ok := s.idle()
	if !ok {
		return
	}
	if s.chance(35) {
		who = pipeline
	}
	one.busy = true
	to := one.release.next(s.chance(15))
	d := &deployment{thing: s.newThing("deployment", one.name+" "+to.String()), on: one, from: one.release, to: to, by: who}
	d.is = deploymentState{
		Instance: one.name, Version: to.String(), PreviousVersion: d.from.String(),
		Commit: fmt.Sprintf("%07x", s.random.IntN(1<<28)), Status: "running",
	}
	s.record(at, who, "deployment.triggered", d.thing, d.is)
	took := s.between(50*time.Second, 9*time.Minute)
	d.is.DurationSeconds = int(took.Seconds())
	s.plan(at.Add(took), func(at time.Time) { s.finish(at, d) })
}

// finish is what the platform reports on behalf of who deployed, without an address.
func (s *story) finish(at time.Time, d *deployment) {
	failed := s.chance(11)
	if failed {
		d.is.Status = "failed"
		d.is.Error = choose(s, []string{
			"health check did not answer within 120 s", "migration 0042 failed: lock timeout", "image could not be pulled",
		})
	} else {
		d.is.Status = "completed"
		d.on.release = d.to
	}
	s.record(at, actor{id: d.by.id, name: d.by.name}, "deployment."+d.is.Status, d.thing, d.is)
	d.on.busy = failed && s.chance(60) || !failed && s.chance(6)
	if d.on.busy {
		s.plan(at.Add(s.between(time.Minute, 14*time.Minute)), func(at time.Time) { s.rollBack(at, d) })
	}
}

func (s *story) rollBack(at time.Time, d *deployment) {
	d.on.busy = false
	d.on.release = d.from
	d.is.Status = "rolled_back"
	s.record(at, d.by, "deployment.rolled_back", d.thing, d.is)
}
