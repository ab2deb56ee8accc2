//go:build unix

package trail

import (
	"os"
	"syscall"
)

// lockFolder locks by a file; the lock ends with the process, however that ends.
func lockFolder(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, err
	}
	return file.Close, nil
}
