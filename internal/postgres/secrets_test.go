package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

func TestNoErrorTellsAPassword(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	const secret = "hunter2"
	host := strings.TrimPrefix(d.ServingURL, "postgres://serving:serving@")
	for name, url := range map[string]string{
		"wrong password":                "postgres://serving:hunter2@" + host,
		"unknown login":                 "postgres://nobody:hunter2@" + host,
		"unknown database":              "postgres://serving:hunter2@" + strings.Replace(host, d.Name, "nowhere", 1),
		"unreachable host":              "postgres://serving:hunter2@127.0.0.1:1/audit?sslmode=disable",
		"unknown host":                  "postgres://serving:hunter2@nowhere.invalid/audit",
		"bad port":                      "postgres://serving:hunter2@127.0.0.1:port/audit",
		"bad escape":                    "postgres://serving:hunter2%zz@127.0.0.1/audit",
		"space":                         "postgres://serving:hunter2 @127.0.0.1/audit",
		"slash in the password":         "postgres://serving:/hunter2@127.0.0.1/audit",
		"at sign in the password":       "postgres://serving:x@hunter2@127.0.0.1:port/audit",
		"another scheme":                "mysql://serving:hunter2@127.0.0.1/audit",
		"no scheme":                     "serving:hunter2@127.0.0.1/audit",
		"bad setting":                   "postgres://serving:hunter2@127.0.0.1/audit?sslmode=maybe",
		"bad number of connections":     "postgres://serving:hunter2@127.0.0.1/audit?pool_max_conns=many",
		"missing certificate":           "postgres://serving:hunter2@127.0.0.1/audit?sslrootcert=/nowhere&sslmode=verify-full",
		"keywords":                      "host=127.0.0.1 port=port user=serving password=hunter2",
		"keywords with a broken quote":  "host=127.0.0.1 user=serving password='hunter2",
		"keywords with a missing value": "password=hunter2 host",
	} {
		errs := map[string]error{}
		if store, err := postgres.Open(t.Context(), postgres.Options{URL: url}); err != nil {
			errs["Open"] = err
		} else {
			errs["Ready"] = store.Ready(t.Context())
			errs["CheckServing"] = store.CheckServing(t.Context())
			_, errs["Append"] = store.Append(t.Context(), submission("acme", plain(t, "entry", 1)...))
			store.Close()
		}
		_, errs["Migrate"] = postgres.Migrate(t.Context(), url)
		errs["Provision"] = postgres.Provision(t.Context(), url, url, postgres.Own{})
		for call, err := range errs {
			if err == nil {
				t.Errorf("%s: %s works", name, call)
				continue
			}
			// %+v and %#v are what careless logging would print.
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s tells %s", name, call, text)
				}
			}
		}
	}
}
