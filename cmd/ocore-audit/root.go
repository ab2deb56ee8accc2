package main

import (
	"github.com/spf13/cobra"
)

// newRoot makes the command. understood becomes true once the arguments made sense.
func newRoot(understood *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "ocore-audit",
		Short: "An audit trail service: who did what, when and to which resource",
		Long: `ocore-audit records who did what, when and to which resource, for many organizations,
and serves the record through the oCore Audit API.

To look around, with a PostgreSQL of its own and no configuration:

  ocore-audit run --demo

In production, with two logins of a PostgreSQL 15 or later:

  MIGRATE_DATABASE_URL=postgres://owner@db/audit    ocore-audit migrate
  DATABASE_URL=postgres://serving@db/audit          ocore-audit serve --auth-config trust.json

Every flag can be given as the environment variable that stands behind it in the help.

Exit codes: 0 done; 1 failed; 2 wrong usage or settings; 3 done, but records of an import
were rejected (the rejects file says which, and why); 4 done, but compare found differences;
5 verify found that something isn't as it was recorded.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			*understood = true
			return applyVariables(c)
		},
	}
	root.AddCommand(newRun(), newServe(), newMigrate(), newToken(), newAPIKey(), newImport(), newExport(), newCompare(), newKeys(), newMirror(), newVerify(), newHealthcheck(), newVersion())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%s\nTry: %s --help", err, c.CommandPath())
	})
	explainVariables(root)
	return root
}
