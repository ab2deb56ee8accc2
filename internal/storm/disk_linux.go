package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// smallDisk holds a cluster, and fills within seconds.
const smallDisk = "size=224m,mode=755"

func mountSmall(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, smallDisk); err != nil {
		return fmt.Errorf("mount a small disk at %s: %w", folder, err)
	}
	return nil
}

func unmountSmall(folder string) { _ = syscall.Unmount(folder, syscall.MNT_DETACH) } // or it goes with the machine

// noSmallDisk is why none can be made here.
func noSmallDisk() string {
	folder, err := os.MkdirTemp("", "ocore-audit-disk-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(folder)
	if err := mountSmall(folder); err != nil {
		return err.Error()
	}
	unmountSmall(folder)
	return ""
}

// fillDisk leaves nothing, for a second; a log segment that must be begun then ends PostgreSQL.
func fillDisk(ctx context.Context, r *rig, _ *load, random *rand.Rand) error {
	ballast := r.file("disk/ballast")
	defer os.Remove(ballast)
	if err := fill(ballast); err != nil {
		return err
	}
	if random.IntN(2) == 0 {
		_ = r.sql(ctx, "SELECT pg_switch_wal()") // its failure is the fault
	}
	time.Sleep(time.Second)
	return fill(ballast) // what was freed meanwhile
}

func fill(name string) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(file, io.LimitReader(zeros{}, 1<<30))
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return errors.Join(err, errors.New("the small disk isn't small"))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
