// Package viewer serves the page at /ui/, where people read, filter, compare and verify a
// trail. It is plain net/http and knows nothing of the API: the page is a client of
// openapi.yaml like any other, and calls it from the browser with a token that somebody
// pasted.
//
// The sources are in web (TypeScript and Lit), the built files in dist, both checked in, so
// that the service builds without Node. Change web, run `make viewer`, commit both;
// `make drift-viewer` fails when they differ. Start with web/src/app.ts, the element that
// holds the page's state; what can be tested without a browser stands in files of its own
// (json.ts, diff.ts, proof.ts, state.ts, tail.ts) with tests in web/test. `make browser`
// holds all of it against the real service.
//
// The page must work without a network, beneath any path of a proxy (every address is
// relative), and under the [policy], which allows neither inline scripts and styles nor
// text to become either. In a Lit template a literal style attribute violates it: use a
// class. With the build tag no_ui the service has no page.
package viewer
