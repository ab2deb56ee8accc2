// Package testkit is for tests alone: a database of its own for each test, a running
// service with clients, and a checker that holds every answer against openapi.yaml and
// against a second document, reference.yaml, that was written from the customer's
// reference alone.
//
// A package that uses it hands its tests to [Main]:
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
package testkit
