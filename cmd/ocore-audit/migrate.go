package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/postgres"
)

func newMigrate() *cobra.Command {
	var url string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring a database's schema to this version, as its owner",
		Long: `Bring a database's schema to this version, as its owner. Running it again changes nothing,
and several may run at once.

The owner's login needs to own the database (or CREATE on it and on its schema public)
and, the first time, either CREATEROLE or the two roles made for it:

  CREATE ROLE ocore_audit_serving NOLOGIN;
  CREATE ROLE ocore_audit_worker NOLOGIN;

Then make the serving login and let it in:

  CREATE ROLE audit_service LOGIN PASSWORD '…' IN ROLE ocore_audit_serving;`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if url == "" {
				return usage("--migrate-database-url is missing: the PostgreSQL URL of the owner's login")
			}
			applied, err := postgres.Migrate(c.Context(), url)
			if err != nil {
				return err
			}
			for _, name := range applied {
				fmt.Println("applied", name)
			}
			fmt.Println("the schema is up to date")
			return nil
		},
	}
	c.Flags().StringVar(&url, "migrate-database-url", "", "PostgreSQL URL of the owner's login")
	return c
}
