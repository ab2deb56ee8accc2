// Package migrations holds the schema's history for goose. Until the first release the
// first migration is rewritten rather than amended.
package migrations

import "embed"

// Files are the migrations, named by goose's rules.
//
//go:embed *.sql
var Files embed.FS
