// Package proof is what is signed and proven of trails: checkpoints, and the files that
// show what stands in a trail to people who needn't trust the service. Verification reads
// files and keys and nothing else, neither a database nor a network.
//
// docs/format.md defines every file, and python/verify.py is written from that page alone;
// the vectors in docs/vectors hold both to this package. To change a format: the page
// first, then both verifiers, then `go test ./internal/proof -update`. A file that was
// given out must verify for ever, so a format can gain members and lose none.
//
// A verifier refuses what it doesn't understand, such as a member that the format doesn't
// have: "verified" must not be said of what nobody looked at.
package proof
