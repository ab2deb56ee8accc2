//go:build !linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
)

func mountSmall(string) error { return errors.New("only tried on Linux") }

func unmountSmall(string) {}

func noSmallDisk() string { return "only tried on Linux" }

func fillDisk(context.Context, *rig, *load, *rand.Rand) error { return mountSmall("") }
