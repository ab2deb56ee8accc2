package testkit

import (
	"testing"
	"time"
)

// patience is far more than anything takes that is waited for, also on a loaded machine.
const patience = time.Minute

// Eventually asks until what holds, and fails the test if it never does.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not after %v: %s", patience, what)
		}
	}
}
