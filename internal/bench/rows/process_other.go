//go:build !linux

package rows

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
