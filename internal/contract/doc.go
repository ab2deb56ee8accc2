// Package contract is tests alone: they hold openapi.yaml and the running service against
// each other, and the document against what its readers need.
//
// story_test.go replays the document's examples in the order in which they happened. To
// add an example, give it its step there; an example without one fails the test.
// portable_test.go has the rules that let one document make clients in every language.
package contract
