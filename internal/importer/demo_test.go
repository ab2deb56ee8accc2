package importer

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

var vocabulary = strings.Fields(`auth.login auth.logout auth.login_failed auth.totp_enabled auth.totp_disabled
	auth.passkey_registered auth.password_changed auth.password_reset org.updated org.settings_updated member.invited
	member.joined member.role_changed member.removed server.created server.updated server.deleted instance.created
	instance.started instance.stopped instance.restarted instance.deleted instance.settings_updated deployment.triggered
	deployment.completed deployment.failed deployment.rolled_back backup.created`)

func TestDemoIsTheSameForTheDay(t *testing.T) {
	one := Demo(7, noon, 30)
	if !reflect.DeepEqual(one, Demo(7, noon.Add(11*time.Hour).In(time.FixedZone("", -7*3600)), 30)) {
		t.Error("not deterministic")
	}
	if other := Demo(8, noon, 30); reflect.DeepEqual(one, other) || one[0].Draft.ID == other[0].Draft.ID {
		t.Error("the seed changes nothing")
	}
}

func TestDemoIsCoherent(t *testing.T) {
	sunday := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{noon, sunday} {
		for _, days := range []int{0, 1, 2, 7, 30, 400} {
			for seed := range int64(3) {
				t.Run(fmt.Sprint(now.Weekday(), days, seed), func(t *testing.T) {
					checkDemo(t, Demo(seed, now, days), now, max(days, 1))
				})
			}
		}
	}
}

func checkDemo(t *testing.T, records []Record, now time.Time, days int) {
	end := now.Truncate(24 * time.Hour)
	start := end.AddDate(0, 0, -days)
	if n := len(records); n < 1400 || n > 2400 || days > 2 && (n < 1900 || n > 2100) {
		t.Errorf("%d records", n)
	}
	ids := map[string]bool{}
	things := map[string]string{} // the state after the last entry, or "gone"
	seen := map[string]bool{}
	for i, r := range records {
		d := r.Draft
		if _, err := audit.Admit(d, ""); err != nil {
			t.Fatalf("%s: %v", d.Action, err)
		}
		if r.Time.Before(start) || !r.Time.Before(end) || i > 0 && r.Time.Before(records[i-1].Time) || r.Time.Nanosecond()%1000 != 0 {
			t.Errorf("%s at %v", d.Action, r.Time)
		}
		if ids[d.ID] || !slices.Contains(vocabulary, d.Action) || !documentation(d.IPAddress) {
			t.Errorf("%+v", d)
		}
		ids[d.ID], seen[d.Action] = true, true
		checkLife(t, things, d)
	}
	if days == 30 {
		for _, action := range vocabulary {
			if !seen[action] {
				t.Errorf("no %s", action)
			}
		}
	}
}

// checkLife follows what an entry does to its thing.
func checkLife(t *testing.T, things map[string]string, d audit.Draft) {
	if d.ResourceID == "" {
		return
	}
	key := d.ResourceType + " " + d.ResourceID
	last, known := things[key]
	begins := slices.Contains([]string{"auth.login", "member.invited", "server.created", "instance.created", "deployment.triggered", "backup.created"}, d.Action)
	ends := slices.Contains([]string{"auth.logout", "member.removed", "server.deleted", "instance.deleted"}, d.Action)
	always := d.ResourceType == "organization" || d.ResourceType == "user"
	switch {
	case begins != (d.BeforeState == nil), ends != (d.AfterState == nil):
		t.Errorf("%s: from %s to %s", d.Action, d.BeforeState, d.AfterState)
	case known && string(d.BeforeState) != last:
		t.Errorf("%s %s: from %s, but it was %s", d.Action, key, d.BeforeState, last)
	case !known && !begins && !always:
		t.Errorf("%s %s before it was created", d.Action, key)
	}
	switch d.Action {
	case "deployment.completed", "deployment.failed", "instance.stopped":
		if !strings.Contains(string(d.BeforeState), `"status":"running"`) {
			t.Errorf("%s from %s", d.Action, d.BeforeState)
		}
	case "instance.started":
		if !strings.Contains(string(d.BeforeState), `"status":"stopped"`) {
			t.Errorf("%s from %s", d.Action, d.BeforeState)
		}
	}
	things[key] = string(d.AfterState)
	if ends {
		things[key] = "gone"
	}
}

func documentation(address string) bool {
	if address == "" {
		return true
	}
	ip := netip.MustParseAddr(address)
	for _, prefix := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"} {
		if netip.MustParsePrefix(prefix).Contains(ip) {
			return true
		}
	}
	return false
}
