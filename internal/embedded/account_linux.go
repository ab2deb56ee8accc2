package embedded

import (
	"os"
	"strconv"
	"syscall"
)

// dieWithParent asks the kernel for a fast shutdown when the starting thread ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// servesFrom tells whether process pid works in the folder data, as a postmaster does and
// a stranger that was given the same pid later doesn't.
func servesFrom(pid int, data string) bool {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	return err == nil && dir == data
}
