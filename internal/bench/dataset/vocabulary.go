package dataset

import (
	"math/rand/v2"
	"sort"
	"strings"
)

// Actions, the commonest first: the platform's own vocabulary, and as many in its manner
// as make sixty. What stands before the dot decides the type of the resource.
var actions = []string{
	"auth.login", "deployment.triggered", "deployment.completed", "instance.restarted", "server.updated",
	"instance.settings_updated", "auth.logout", "backup.created", "variable.updated", "deployment.failed",
	"instance.started", "instance.stopped", "auth.login_failed", "domain.verified", "instance.created",
	"webhook.delivered", "variable.created", "member.role_changed", "server.created", "key.used",
	"deployment.rolled_back", "volume.resized", "instance.deleted", "org.settings_updated", "domain.created",
	"certificate.renewed", "member.invited", "backup.restored", "member.joined", "volume.created",
	"key.created", "variable.deleted", "auth.password_changed", "webhook.updated", "server.deleted",
	"deployment.cancelled", "auth.totp_enabled", "volume.attached", "backup.deleted", "domain.deleted",
	"webhook.created", "auth.passkey_registered", "key.revoked", "member.removed", "volume.detached",
	"instance.scaled", "certificate.issued", "org.updated", "auth.password_reset", "domain.updated",
	"webhook.deleted", "volume.deleted", "server.rebooted", "auth.totp_disabled", "key.rotated",
	"certificate.revoked", "backup.failed", "deployment.approved", "server.resized", "org.plan_changed",
}

var resourceTypes = map[string]string{
	"auth": "user", "org": "organization", "member": "member", "server": "server", "instance": "instance",
	"deployment": "deployment", "backup": "backup", "variable": "variable", "domain": "domain",
	"volume": "volume", "key": "api_key", "webhook": "webhook", "certificate": "domain",
}

// adminActions are the platform's. Six of ten entries hold the word "updated".
var adminActions = []string{
	"plan.updated", "organization.updated", "quota.updated", "feature.updated", "price.updated", "region.updated",
	"organization.suspended", "support.session_opened", "invoice.issued", "user.impersonated",
}

var (
	firstNames = strings.Fields("Mara Tomasz Priya Jonas Amélie Daniel Yuki Sofia Ben Leïla Carlos Ingrid Noah Chiara Samuel Olga Henrik Aisha Mateo Freya Kwame Elif Pavel Rosa Liam Nadia Viktor Hana Omar Clara")
	lastNames  = strings.Fields("Lindqvist Wieczorek Raman Albrecht Fournier Okafor Tanabe Marchetti Whitfield Haddad Ibáñez Solberg Brandt Lombardi Adeyemi Petrov Larsen Rahman Vargas Nilsson Mensah Yilmaz Novak Duarte Walsh Rossi Kovács Sato Farouk Meyer")
	regions    = strings.Fields("eu-central-1 eu-west-2 us-east-1 us-west-2 ap-south-1 ap-northeast-1 sa-east-1")
	sizes      = strings.Fields("s-1vcpu-1gb s-1vcpu-2gb s-2vcpu-4gb s-4vcpu-8gb c-8vcpu-16gb m-16vcpu-64gb")
	statuses   = strings.Fields("running stopped pending degraded failed ready scheduled archived")
	products   = strings.Fields("shop tracking billing portal search ledger media gateway worker scheduler reports identity")
	words      = strings.Fields("rollout behind the new gateway keeps sessions warm while older nodes drain and the health check waits for three probes before traffic moves over so that nobody notices a restart unless the queue was long already or a volume had to be attached again by hand in another zone")
	agents     = []string{
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
		"ocore-cli/1.9.3 (darwin; arm64)", "ocore-cli/1.9.3 (linux; amd64)", "terraform-provider-ocore/2.4.0",
	}
)

// chances draws an index in proportion to weights.
type chances []float64 // cumulative

// falling gives the k-th of n a weight of 1 / (k + 1.5): the first of sixty gets a sixth.
func falling(n int) chances {
	c := make(chances, n)
	sum := 0.0
	for k := range c {
		sum += 1 / (float64(k) + 1.5)
		c[k] = sum
	}
	return c
}

func (c chances) draw(r *rand.Rand) int {
	return sort.SearchFloat64s(c, r.Float64()*c[len(c)-1])
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
