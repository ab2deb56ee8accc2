// Package postgres is the [audit.Store] over PostgreSQL, and the only importer of the
// generated queries: none of their types leaves it.
//
// A [Store] serves: it appends in groups ([batcher], [committer]) and finds by positions
// ([reading]). A [Worker] works in the background: it builds postings, which say where
// frequent values of a trail stand, from ranges of it that are whole. Everything is found
// right without them, so whatever reads them falls back to the columns' own indexes.
//
// The SQL of trails lives in sql/queries; only what asks the catalogue, makes logins and
// reads the schema's version stands beside its code. To add a filter, add a column to
// entries, its index and its three statements to sql/queries/filter.sql, and its line to
// [columns]; a line in postedColumns gives its frequent values postings. Every statement on trails names one organization, and is sent
// in one round trip with the setting that row-level security reads: a [pipeline].
package postgres
