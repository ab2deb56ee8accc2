package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/internal/proof"
)

// witness keeps every checkpoint that anybody could have seen since the storm began: those
// that instances answered, and those that they kept outside of the database. What was shown
// can't be taken back, whatever broke after it.
type witness struct {
	mu    sync.Mutex
	notes map[string]map[string]bool // by organization
}

func (w *witness) saw(organization, note string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notes == nil {
		w.notes = map[string]map[string]bool{}
	}
	if w.notes[organization] == nil {
		w.notes[organization] = map[string]bool{}
	}
	w.notes[organization][note] = true
}

func (w *witness) of(organization string) (notes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for note := range w.notes[organization] {
		notes = append(notes, note)
	}
	return notes
}

// count is how many checkpoints were seen, of all trails.
func (w *witness) count() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, notes := range w.notes {
		n += len(notes)
	}
	return n
}

func (i *instance) checkpointDir() string {
	return i.rig.file(fmt.Sprintf("checkpoints-%d", i.number))
}

// kept is the newest checkpoint that the instance keeps outside of the database, "" for none.
func (i *instance) kept(organization string) (string, error) {
	note, err := proof.KeptFolder(i.checkpointDir()).Newest(organization)
	if note != "" {
		i.rig.witness.saw(organization, note)
	}
	return note, err
}

var errNoCheckpoint = errors.New("there is no checkpoint")

// checkpoint asks the instance for the newest one, by the path that other people's tools take.
func (i *instance) checkpoint(ctx context.Context, organization, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.address+"/tlog/"+organization+"/checkpoint", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	note, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: %s: %s", errNoCheckpoint, response.Status, note)
	}
	i.rig.witness.saw(organization, string(note))
	return string(note), nil
}

// watch takes checkpoints as they are published, by the instances in turn. None shows a
// smaller tree than another did before.
func (l *load) watch(ctx context.Context, organization string) {
	largest, token := int64(0), l.tokens[organization]
	for n := 0; ctx.Err() == nil; n++ {
		i := l.rig.instances[n%len(l.rig.instances)]
		if _, err := i.kept(organization); err != nil {
			l.find("checkpoints: what an instance keeps can't be read: " + err.Error())
		}
		if note, err := i.checkpoint(context.WithoutCancel(ctx), organization, token); err == nil {
			size := sizeOf(note)
			if size < largest {
				l.find(fmt.Sprintf("published: %s: instance %d shows a checkpoint of size %d after one of size %d was shown", organization, i.number, size, largest))
			}
			largest = max(largest, size)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// sizeOf is what a note says; whether it is signed is the oracle's question.
func sizeOf(note string) int64 {
	body, _, _ := strings.Cut(note, "\n\n")
	checkpoint, err := proof.ParseCheckpoint(body + "\n")
	if err != nil {
		return 0
	}
	return checkpoint.Size
}

// shown is one checkpoint that somebody saw.
type shown struct {
	note string
	proof.Signed
}

// published holds all that was ever shown of the trail against the database and against each
// other. Each is proved to go on from the next smaller one, so that any two are consistent.
func (o *oracle) published(keys proof.Keys) []shown {
	stored := map[string]bool{}
	for _, c := range o.checkpoints {
		stored[c.note] = true
	}
	var all []shown
	for _, note := range o.rig.witness.of(o.organization) {
		signed, err := keys.Open([]byte(note))
		if err != nil {
			o.find("published", "a checkpoint was shown that isn't signed: %s", err)
			continue
		}
		if !stored[note] {
			o.find("published", "a checkpoint of size %d was shown, and isn't stored", signed.Size)
		}
		all = append(all, shown{note, signed})
	}
	slices.SortFunc(all, func(a, b shown) int { return cmp.Compare(a.Size, b.Size) })
	for n := 1; n < len(all); n++ {
		consistency, err := o.proveConsistency(all[n-1].Size, all[n].Size)
		if err == nil {
			_, err = proof.VerifyCheckpoints([]byte(all[n-1].note), []byte(all[n].note), consistency, keys)
		}
		if err != nil {
			o.find("published", "the checkpoints of size %d and %d: %s", all[n-1].Size, all[n].Size, err)
		}
	}
	return all
}

// proveConsistency makes of the stored entries what a service answers for two sizes; nothing
// for equal ones.
func (o *oracle) proveConsistency(from, to int64) ([]byte, error) {
	if to > int64(len(o.rows)) {
		return nil, fmt.Errorf("there are %d entries", len(o.rows))
	}
	if from == to {
		return nil, nil
	}
	path, err := tlog.ProveTree(to, from, o.hashes)
	if err != nil {
		return nil, err
	}
	hashes := []string{}
	for _, hash := range path {
		hashes = append(hashes, base64.StdEncoding.EncodeToString(hash[:]))
	}
	return json.Marshal(map[string]any{"from": from, "to": to, "hashes": hashes})
}

// consistencies asks an instance to prove some of what was shown.
func (o *oracle) consistencies(ask func(string, any) error, i *instance, keys proof.Keys, all []shown, random *rand.Rand) error {
	for range min(3, len(all)) {
		from, to := all[random.IntN(len(all))], all[random.IntN(len(all))]
		if from.Size > to.Size {
			from, to = to, from
		}
		var answer json.RawMessage
		if err := ask(fmt.Sprintf("/audit-logs/consistency?from=%d&to=%d", from.Size, to.Size), &answer); err != nil {
			return err
		}
		if _, err := proof.VerifyCheckpoints([]byte(from.note), []byte(to.note), answer, keys); err != nil {
			o.find("published", "instance %d can't prove that its checkpoint of size %d goes on from that of size %d: %s", i.number, to.Size, from.Size, err)
		}
	}
	return nil
}

// notVerified is how the verifier ends when something isn't as it was recorded.
const notVerified = 5

// verify has the trail verified as an auditor would, by the program that we ship: every leaf,
// tile, count and checkpoint is made anew.
func (o *oracle) verify(ctx context.Context, random *rand.Rand) error {
	if len(o.rows) == 0 && o.head.root == nil {
		return nil // there is no such trail yet, which the verifier calls not found
	}
	begun := time.Now()
	defer func() { o.rig.verifying += time.Since(begun) }()
	i := o.rig.instances[random.IntN(len(o.rig.instances))]
	command := exec.CommandContext(ctx, o.rig.verifier, "verify", "trail", "--deep", "--organization", o.organization,
		"--signing-key-file", o.rig.file("signing.key"), "--trail-origins", origins, "--checkpoint-dir", i.checkpointDir())
	command.Env = append(os.Environ(), "DATABASE_URL="+o.rig.postgres().SuperuserURL(own.Name))
	said, err := command.CombinedOutput()
	if err != nil && command.ProcessState != nil && command.ProcessState.ExitCode() == notVerified {
		o.find("verify", "%s", strings.ReplaceAll(string(said), "\n", "; "))
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify trail --deep: %w: %s", err, said)
	}
	return nil
}
