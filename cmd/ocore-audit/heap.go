package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A heap may grow to heapFloor before it is collected, and beyond that by heapGrowth
// percent of what is alive. Go's own rule, to double, collects a service of 12 MB that
// takes batches dozens of times a second, which was a fifth of its CPU; and lets one whose
// caches are full grow by as much again.
const (
	heapFloor  = 32 << 20
	heapGrowth = 50
)

// holdHeap keeps to that rule after each collection, unless the environment sets GOGC.
func holdHeap() {
	if os.Getenv("GOGC") == "" { //nolint:forbidigo // the Go runtime's own variable, no setting of ours
		afterCollection()
	}
}

// collected is garbage from the beginning, so that its finalizer runs after each collection.
type collected struct{ _ *collected }

func afterCollection() {
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(alive)
	if bytes := alive[0].Value.Uint64(); bytes > 0 {
		debug.SetGCPercent(max(heapGrowth, int(heapFloor*100/bytes)-100))
	}
	runtime.SetFinalizer(new(collected), func(*collected) { afterCollection() })
}
