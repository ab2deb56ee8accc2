package audit

import "time"

// Checkpoint is what was signed about a trail: that its tree of Size entries has this Root.
type Checkpoint struct {
	Number   int64 // in the order of signing, from 0; sizes never fall along it
	Size     int64
	Root     []byte
	Note     string // the signed note (C2SP tlog-checkpoint), which others verify
	SignedAt time.Time
}

// Head is a state of a trail's tree.
type Head struct {
	Size int64
	Root []byte
	Now  time.Time // the database's clock
}

// ToProve is an entry with what its proof begins with.
type ToProve struct {
	Row    Row
	Salts  []byte     // what opens its leaf
	Tile   []byte     // hashes of the tile of leaves that it is in; nil while that isn't full
	Newest Checkpoint // of the trail: its size, 0 when there is none, and its note
}
