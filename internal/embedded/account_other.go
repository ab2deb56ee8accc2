//go:build !linux

package embedded

import (
	"errors"
	"syscall"
)

// dieWithParent does nothing: only Linux can tell a child that its parent has died.
func dieWithParent(*syscall.SysProcAttr) {}

// servesFrom takes any live process for the postmaster: the other mistake, two servers on
// one cluster, would be worse.
func servesFrom(pid int, _ string) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
