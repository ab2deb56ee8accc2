// Package auth turns a bearer token into an [audit.Principal].
//
// Every token passes our own front door (token.go) before a library sees it: one
// compact JWS, canonical base64url, strict JSON, five known header members. Then the
// issuer that the payload names chooses the key (verifier.go), the signature is
// verified (signature.go), and the claims are read by type (claims.go). The library,
// jwx v2, is unmaintained since June 2026; it takes JSON serializations, duplicate
// members, "crit" and padded base64. So signature.go is its only importer in this
// module, and replacing it is a change to that file.
//
// To add an algorithm: add it to algorithms in trust.go and give jwk.algorithm and
// parseKey in keys.go the key type that means it. A key has one algorithm (RFC 8725,
// section 3.1), so an algorithm that shares a key type with another (PS256 with RS256)
// needs the key's "alg" to decide.
//
// To read another claim: add its name and default to [ClaimNames], and a line to
// principal in claims.go. To trust a new kind of key source: add it to [Issuer] and to
// loadKeys, or to published.go if it has to be asked again and again; everything behind it
// stays the same.
//
// What a hostile sender tries is one table, hostile_test.go, over HTTP against the whole
// service; a new case goes there first.
package auth
