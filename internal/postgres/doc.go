// Package postgres is the [audit.Store] over PostgreSQL, and the only importer of the
// generated queries: none of their types leaves it.
//
// The SQL of trails lives in sql/queries; only what asks the catalogue, makes logins and
// reads the schema's version stands beside its code. To add a filter, add a column to
// entries, its index and its three statements to sql/queries/filter.sql, and its line to
// [columns] in filter.go. Every statement on trails names one organization, and is sent
// in one round trip with the setting that row-level security reads: a [pipeline].
package postgres
