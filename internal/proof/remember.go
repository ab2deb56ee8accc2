package proof

import (
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// What proving remembers, so that a proof costs one look at the database: signatures that were
// checked, and hashes of the upper tree. Neither can go stale, since a signed tree only grows;
// and were they wrong, the proofs that are made of them wouldn't be given out.

// maxOpened and maxKept bound it, to about 1 and 4 MB: the upper tree of some four million entries.
const (
	maxOpened = 1 << 10
	maxKept   = 1 << 15
)

// openedNotes are the newest checkpoints of trails, whose signatures hold.
type openedNotes struct {
	mutex *sync.Mutex
	known *simplelru.LRU[string, openedCheckpoint] // by organization
}

type openedCheckpoint struct {
	note   string
	signed Signed
}

func newOpenedNotes() openedNotes {
	known, _ := simplelru.NewLRU[string, openedCheckpoint](maxOpened, nil) // fails for sizes below 1
	return openedNotes{new(sync.Mutex), known}
}

// open checks that a checkpoint is signed by one of our keys. It fails with [audit.ErrAltered].
func (p *Prover) open(organization string, checkpoint audit.Checkpoint) (Signed, error) {
	p.opened.mutex.Lock()
	known, _ := p.opened.known.Get(organization)
	p.opened.mutex.Unlock()
	if known.note == checkpoint.Note && known.signed.Size == checkpoint.Size {
		return known.signed, nil
	}
	keys, err := p.keys.Keys(organization)
	if err != nil {
		return Signed{}, err
	}
	signed, err := keys.Open([]byte(checkpoint.Note))
	if err == nil && signed.Size != checkpoint.Size {
		err = fmt.Errorf("size %d was signed", signed.Size)
	}
	if err != nil {
		return Signed{}, altered(organization, -1, "its newest checkpoint, of size %d, is not the one that was signed: %s", checkpoint.Size, err)
	}
	p.opened.mutex.Lock()
	defer p.opened.mutex.Unlock()
	p.opened.known.Add(organization, openedCheckpoint{checkpoint.Note, signed})
	return signed, nil
}

// keptNodes are hashes of the trees of all organizations.
type keptNodes struct {
	mutex *sync.Mutex
	nodes *simplelru.LRU[keptNode, [merkle.HashSize]byte]
}

type keptNode struct {
	organization string
	merkle.Node
}

func newKeptNodes() keptNodes {
	nodes, _ := simplelru.NewLRU[keptNode, [merkle.HashSize]byte](maxKept, nil) // fails for sizes below 1
	return keptNodes{new(sync.Mutex), nodes}
}

// forget drops everything.
func (k keptNodes) forget() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.nodes.Purge()
}

// of are one organization's.
func (k keptNodes) of(organization string) merkle.Kept { return organizationNodes{k, organization} }

type organizationNodes struct {
	keptNodes
	organization string
}

// Get finds a kept hash.
func (o organizationNodes) Get(node merkle.Node) ([]byte, bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	hash, known := o.nodes.Get(keptNode{o.organization, node})
	return hash[:], known
}

// Add keeps a hash.
func (o organizationNodes) Add(node merkle.Node, hash []byte) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.nodes.Add(keptNode{o.organization, node}, [merkle.HashSize]byte(hash))
}
