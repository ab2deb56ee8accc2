package importer

import (
	"fmt"
	"slices"
	"time"
)

// company is the demonstration's organization as far as its story has come. Addresses
// are from the ranges that are reserved for documentation.
type company struct {
	org       *thing
	profile   profile
	staff     []*person // who has joined and not left; the first is the owner
	servers   []*server
	instances []*instance
	machines  int // how many servers there ever were
	reviews   int // how many review instances there ever were
}

const (
	office   = "198.51.100.24"
	attacker = "192.0.2.66"
)

const (
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15"
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
	phone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
	cli     = "ocore-cli/1.9.3 (darwin; arm64)"
)

// person is somebody with an account. What member and user say is kept beside them.
type person struct {
	id, name, email string
	role            string // the usual one
	home, agent     string
	member, user    *thing
	membership      membership
	security        security
	left            bool
}

type hire struct{ name, email, role, home, agent string }

var team = []hire{
	{"Mara Lindqvist", "mara", "Owner", "203.0.113.41", safari},
	{"Tomasz Wieczorek", "tomasz", "Admin", "203.0.113.77", firefox},
	{"Priya Raman", "priya", "Admin", "2001:db8:4a:1f00::c2", chrome},
	{"Jonas Albrecht", "jonas", "Developer", "203.0.113.112", firefox},
	{"Amélie Fournier", "amelie", "Developer", "2001:db8:91:200::1e", safari},
	{"Daniel Okafor", "daniel", "Developer", "203.0.113.150", cli},
	{"Yuki Tanabe", "yuki", "Developer", "2001:db8:77:31::9", safari},
	{"Sofia Marchetti", "sofia", "Developer", "203.0.113.18", chrome},
	{"Ben Whitfield", "ben", "Developer", "203.0.113.203", cli},
	{"Leïla Haddad", "leila", "Viewer", "203.0.113.64", phone},
	{"Carlos Ibáñez", "carlos", "Viewer", "2001:db8:5:88::41", chrome},
	{"Ingrid Solberg", "ingrid", "Viewer", "203.0.113.92", safari},
}

var contractors = []hire{
	{"Noah Brandt", "noah.ext", "Developer", "203.0.113.131", firefox},
	{"Chiara Lombardi", "chiara.ext", "Developer", "2001:db8:c0:5::77", chrome},
	{"Samuel Adeyemi", "samuel.ext", "Viewer", "203.0.113.187", safari},
}

var (
	products     = []string{"shop", "tracking", "billing", "portal"}
	firstServers = []string{"web-01", "web-02", "worker-01", "db-01", "staging-01"}
)

func (s *story) newPerson(h hire) *person {
	p := &person{name: h.name, email: h.email + "@halden-freight.example", role: h.role, home: h.home, agent: h.agent}
	p.member, p.user = s.newThing("member", h.name), s.newThing("user", h.name)
	p.id = p.user.id
	return p
}

// actor is the person at work: in the office or, now and then, at home.
func (s *story) actor(p *person, at time.Time) actor {
	address := office
	if !isWorkday(at) || s.chance(30) {
		address = p.home
	}
	return actor{p.id, p.name, address, p.agent}
}

// pipeline deploys what was merged; scheduler is a part of the platform, which has no address.
var (
	pipeline  = actor{"ci-pipeline", "CI pipeline", "192.0.2.17", "ocore-cli/1.9.3 (linux; amd64) ci"}
	scheduler = actor{id: "backup-scheduler", name: "Backup scheduler"}
)

// manager is one of those who may manage members.
func (s *story) manager() *person {
	return choose(s, slices.DeleteFunc(slices.Clone(s.staff), func(p *person) bool {
		return p.membership.Role != "Owner" && p.membership.Role != "Admin"
	}))
}

type server struct {
	*thing
	is serverState
}

type instance struct {
	*thing
	is      instanceState
	release release
	busy    bool // a deployment is under way
	gone    bool
}

type release struct{ major, minor, patch int }

func (r release) String() string { return fmt.Sprintf("%d.%d.%d", r.major, r.minor, r.patch) }

func (r release) next(feature bool) release {
	if feature {
		return release{r.major, r.minor + 1, 0}
	}
	return release{r.major, r.minor, r.patch + 1}
}

type deployment struct {
	*thing
	is       deploymentState
	on       *instance
	from, to release
	by       actor
}

// The states below are what entries show as before and after.

type profile struct {
	Name         string   `json:"name"`
	BillingEmail string   `json:"billingEmail"`
	Country      string   `json:"country"`
	Timezone     string   `json:"timezone"`
	Settings     settings `json:"settings"`
}

type settings struct {
	RequireTOTP           bool     `json:"requireTotp"`
	SessionTimeoutMinutes int      `json:"sessionTimeoutMinutes"`
	AllowedNetworks       []string `json:"allowedNetworks"`
}

type membership struct {
	Email  string `json:"email"`
	Role   string `json:"role"`
	Status string `json:"status"`
}

type security struct {
	TOTPEnabled       bool   `json:"totpEnabled"`
	Passkeys          int    `json:"passkeys"`
	PasswordChangedAt string `json:"passwordChangedAt"`
}

type login struct {
	Email  string `json:"email"`
	Method string `json:"method"`
	Reason string `json:"reason,omitempty"`
}

type serverState struct {
	Name     string   `json:"name"`
	Region   string   `json:"region"`
	Plan     string   `json:"plan"`
	VCPUs    int      `json:"vcpus"`
	MemoryGB int      `json:"memoryGb"`
	Address  string   `json:"address"`
	Labels   []string `json:"labels"`
}

type instanceState struct {
	Name        string `json:"name"`
	Server      string `json:"server"`
	Environment string `json:"environment"`
	Workers     int    `json:"workers"`
	MemoryMB    int    `json:"memoryMb"`
	LogLevel    string `json:"logLevel"`
	Status      string `json:"status"`
}

type deploymentState struct {
	Instance        string `json:"instance"`
	Version         string `json:"version"`
	PreviousVersion string `json:"previousVersion"`
	Commit          string `json:"commit"`
	Status          string `json:"status"`
	DurationSeconds int    `json:"durationSeconds,omitempty"`
	Error           string `json:"error,omitempty"`
}

type backupState struct {
	Instance      string `json:"instance"`
	Kind          string `json:"kind"`
	SizeBytes     int64  `json:"sizeBytes"`
	RetentionDays int    `json:"retentionDays"`
}
