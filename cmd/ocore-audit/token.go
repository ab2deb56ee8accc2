package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

// maxDevelopmentLifetime bounds what a lost development token can do.
const maxDevelopmentLifetime = 30 * 24 * time.Hour

// developer is who development tokens speak for: every permission.
func developer(organizations ...string) audit.Principal {
	return audit.Principal{
		Issuer: developmentIssuer, Subject: "developer", Name: "Developer", Organizations: organizations,
		Permissions: []audit.Permission{audit.ManageAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs, audit.ManageAPIKeys},
	}
}

func newToken() *cobra.Command {
	var dataDir, subject, name string
	var organizations, permissions []string
	var lifetime time.Duration
	var trust trustFlags
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a development token for the service that `run` started",
		Long: `Make a token that a service started by "ocore-audit run" in the same data folder accepts.
It is signed with the folder's development secret. Where a production key source is
configured, no token is made: ask its issuer.`,
		Example: `  curl -H "Authorization: Bearer $(ocore-audit token)" http://127.0.0.1:8080/api/audit-logs
  ocore-audit token --organization globex --permission view:audit_logs --subject auditor`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if trust.given() {
				return usage("a production key source is configured (--auth-…): its issuer makes the tokens")
			}
			if lifetime <= 0 || lifetime > maxDevelopmentLifetime {
				return usage("--lifetime takes up to %s", maxDevelopmentLifetime)
			}
			if subject == "" || len(organizations) == 0 {
				return usage("--subject and --organization must not be empty")
			}
			principal, err := principalFrom(subject, name, organizations, permissions)
			if err != nil {
				return err
			}
			secret, err := own{dataDir}.developmentSecret()
			if err != nil {
				return err
			}
			token, err := auth.NewDevelopmentToken(secret, principal, time.Now(), lifetime)
			if err == nil {
				fmt.Println(token)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&dataDir, "data-dir", ".data", "folder of the service that shall accept the token")
	f.StringVar(&subject, "subject", "developer", "whom the token speaks for; becomes recordedBy")
	f.StringVar(&name, "name", "", "the person's name")
	f.StringSliceVar(&organizations, "organization", []string{ownOrganization}, "organization; several let X-Org-Slug choose")
	f.StringSliceVar(&permissions, "permission", nil, "permission; all of them when none is given")
	f.DurationVar(&lifetime, "lifetime", 12*time.Hour, "how long the token is valid")
	trust.add(c)
	return c
}

func principalFrom(subject, name string, organizations, permissions []string) (audit.Principal, error) {
	p := developer(organizations...)
	p.Subject, p.Name = subject, name
	for _, key := range organizations {
		if !audit.ValidOrganization(key) {
			return p, usage("%q is no organization's key: 1 to 64 of A-Z a-z 0-9 . ~ -", key)
		}
	}
	if len(permissions) > 0 {
		p.Permissions = nil
	}
	for _, text := range permissions {
		switch permission := audit.Permission(text); permission {
		case audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs, audit.ManageAPIKeys:
			p.Permissions = append(p.Permissions, permission)
		default:
			return p, usage("%q is no permission; there are %s, %s, %s, %s, %s and %s", text, audit.ViewAuditLogs,
				audit.CreateAuditLogs, audit.ManageAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs, audit.ManageAPIKeys)
		}
	}
	return p, nil
}
