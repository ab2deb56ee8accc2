package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
)

func newAPIKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "api-key",
		Short: "Make, list and revoke an organization's API keys",
		Long: `Make, list and revoke API keys, by which programs of an organization record and read
entries. The same is done over the API under the permission manage:api_keys. Making and
revoking are recorded in the platform's admin trail.

A key looks like ocore_ORGANIZATION_ID_SECRET. Its secret is shown once, when it is made:
the database has a hash of it.

Without --database-url the PostgreSQL in the data folder is used, beside a running
"ocore-audit run" or alone.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newAPIKeyCreate(), newAPIKeyList(), newAPIKeyRevoke())
	return c
}

// keyFlags are what the three have in common.
type keyFlags struct {
	databaseURL, dataDir, organization, by string
	log                                    logFlags
}

func (k *keyFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&k.databaseURL, "database-url", "", "PostgreSQL URL of the serving login")
	f.StringVar(&k.dataDir, "data-dir", ".data", "folder of the own PostgreSQL")
	f.StringVar(&k.organization, "organization", "", `organization that the key belongs to; with the own PostgreSQL "`+ownOrganization+`" by default`)
	k.log.add(c, "warn")
}

// addBy adds who is recorded as the one who did it.
func (k *keyFlags) addBy(c *cobra.Command) {
	c.Flags().StringVar(&k.by, "subject", "operator", "who does this, for the admin trail")
}

// with calls do on the database's keys.
func (k *keyFlags) with(ctx context.Context, do func(*audit.Keys) error) (err error) {
	if k.organization == "" && k.databaseURL == "" {
		k.organization = ownOrganization
	}
	if !audit.ValidOrganization(k.organization) {
		return usage("--organization takes 1 to 64 of A-Z a-z 0-9 . ~ -, not %q", k.organization)
	}
	log, err := k.log.logger()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, k.databaseURL, k.dataDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.stop()) }()
	store, err := postgres.Open(ctx, postgres.Options{URL: db.url, Log: log})
	if err != nil {
		return usage("%s", err)
	}
	defer store.Close()
	if err := store.CheckServing(ctx); err != nil {
		return err
	}
	return do(audit.NewKeys(store, audit.NewService(store)))
}

// operator may give a key whatever a key can have: who has the database's login could anyway.
func (k *keyFlags) operator() audit.Principal {
	return audit.Principal{Subject: k.by, Permissions: []audit.Permission{audit.ManageAuditLogs}}
}

func newAPIKeyCreate() *cobra.Command {
	var flags keyFlags
	var name, expires string
	var permissions []string
	c := &cobra.Command{
		Use:     "create --name NAME",
		Short:   "Make a key and print it, this once",
		Example: "  KEY=$(ocore-audit api-key create --name shop)\n  ocore-audit api-key create --name auditor --permission view:audit_logs --expires-at 2027-01-01T00:00:00Z",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			draft := audit.KeyDraft{Name: name, ExpiresAt: expires}
			for _, permission := range permissions {
				draft.Permissions = append(draft.Permissions, audit.Permission(permission))
			}
			return flags.with(c.Context(), func(keys *audit.Keys) error {
				key, text, err := keys.Make(c.Context(), flags.organization, flags.operator(), draft, time.Now())
				if errors.Is(err, audit.ErrMalformed) || errors.Is(err, audit.ErrUnprocessable) {
					return usage("%s", err)
				}
				if err != nil {
					return err
				}
				_, shown := fmt.Fprintln(c.OutOrStdout(), text)
				_, told := fmt.Fprintf(c.ErrOrStderr(), "%s can %s until %s; its id is %s\n", key.Name, describe(key.Permissions), audit.FormatTime(key.ExpiresAt), key.ID)
				return errors.Join(shown, told)
			})
		},
	}
	flags.add(c)
	flags.addBy(c)
	c.Flags().StringVar(&name, "name", "", "what the key is for")
	c.Flags().StringSliceVar(&permissions, "permission", []string{string(audit.CreateAuditLogs)}, "what it can do: create:audit_logs, view:audit_logs or both")
	c.Flags().StringVar(&expires, "expires-at", "", "RFC 3339 date and time from when on it is refused, within two years; default: in a year")
	return c
}

func newAPIKeyList() *cobra.Command {
	var flags keyFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the organization's keys, newest first, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return flags.with(c.Context(), func(keys *audit.Keys) error {
				all, err := keys.APIKeys(c.Context(), flags.organization)
				if err != nil {
					return err
				}
				table := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tNAME\tPERMISSIONS\tCREATED\tBY\tLAST USED\tSTATE")
				for _, key := range all {
					if _, err := fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%q\t%s\t%s\n", key.ID, key.Name, describe(key.Permissions),
						day(key.CreatedAt), key.CreatedBy, day(key.LastUsedAt), state(key, time.Now())); err != nil {
						return err
					}
				}
				return table.Flush()
			})
		},
	}
	flags.add(c)
	return c
}

func newAPIKeyRevoke() *cobra.Command {
	var flags keyFlags
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a key for good; every instance refuses it within a minute",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return flags.with(c.Context(), func(keys *audit.Keys) error {
				key, err := keys.Revoke(c.Context(), flags.organization, arguments[0], flags.operator())
				if errors.Is(err, audit.ErrNotFound) {
					return fmt.Errorf("%s has no key of the id %q: see ocore-audit api-key list", flags.organization, arguments[0])
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s is revoked since %s\n", key.ID, audit.FormatTime(key.RevokedAt))
				return err
			})
		},
	}
	flags.add(c)
	flags.addBy(c)
	return c
}

func describe(permissions []audit.Permission) string {
	words := make([]string, len(permissions))
	for i, p := range permissions {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}

func state(key audit.APIKey, now time.Time) string {
	switch {
	case !key.RevokedAt.IsZero():
		return "revoked " + day(key.RevokedAt)
	case !now.Before(key.ExpiresAt):
		return "expired " + day(key.ExpiresAt)
	}
	return "good until " + day(key.ExpiresAt)
}
