// Package httpapi is the HTTP side of the service, and the only importer of Echo, of
// kin-openapi and of the generated server.
//
// To add an operation: write it into openapi.yaml with its x-required-permission, run
// `make generate`, and implement the method that the compiler then misses on [handlers].
// Routes, bounds and permissions come from the document; a handler sees only calls that
// the [gate] let through: authenticated, permitted, valid by the document's schema.
//
// A handler returns an error of package audit; problem.go turns it into an answer, in
// one table. Answers that carry entries append their stored bytes and never build them
// from structs: what was recorded is what is shown.
package httpapi
