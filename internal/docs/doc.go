// Package docs serves what people read under /docs: the reference page, where each call
// of openapi.yaml can be tried, and the Markdown files of the top-level folder docs as
// pages. It is plain net/http and knows nothing of the API but its document's address.
//
// Nothing here may need a stranger: every page works without a network, beneath any path
// prefix of a proxy (all links are relative), and under the [policy], which allows no
// inline script or style. So scripts and styles are files in assets/, which are read as
// they are, without a build.
//
// The reference page is Swagger UI, vendored by `make swagger-ui` in the version that the
// Makefile names; swagger-ui/SHA256SUMS says what the files are, and a test holds them
// against it. What it lacks for people who can't use a mouse or see little is added in
// assets/reference.js and assets/reference.css; `make browser` says when that stops
// working, for instance after a new version.
package docs
