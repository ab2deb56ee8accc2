// Package audit is the domain: what an entry is, which input becomes one, how a
// trail is read by positions, and what a leaf commits to. It knows no HTTP and no
// SQL; adapters translate its errors and implement its [Store].
//
// To add a member to entries: add it to [Draft], to the tables in entry.go and
// leaf.go, to the columns in csv.go, and to openapi.yaml. To add a filter: add a
// field to [Filter], its place in the cursor and among the [Term]s, and the term's
// statements in the store.
package audit
