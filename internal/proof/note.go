package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// Checkpoint says what a trail was when it had a size (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin string `json:"origin"` // the trail: a prefix, a slash and the organization
	Size   int64  `json:"size"`
	Root   []byte `json:"root"`
}

// Organization is whose trail it is: what follows the origin's last slash.
func (c Checkpoint) Organization() string { return c.Origin[strings.LastIndexByte(c.Origin, '/')+1:] }

// Text is what is signed: three lines.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root))
}

// ParseCheckpoint reads what [Checkpoint.Text] wrote, and nothing else: extension lines,
// which the service never signs, are refused. Errors are [ErrMalformed].
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, malformed("a checkpoint has three lines: origin, size and root")
	}
	c := Checkpoint{Origin: lines[0]}
	if err := checkOrigin(c.Origin); err != nil {
		return Checkpoint{}, err
	}
	var err error
	if c.Size, err = parseNumber(lines[1]); err != nil {
		return Checkpoint{}, within("a checkpoint's size", err)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return Checkpoint{}, within("a checkpoint's root", err)
	}
	if nothing := sha256.Sum256(nil); c.Size == 0 && !bytes.Equal(c.Root, nothing[:]) {
		return Checkpoint{}, malformed("a checkpoint of size 0 has another root than that of no entries")
	}
	return c, nil
}

func checkOrigin(origin string) error {
	slash := strings.LastIndexByte(origin, '/')
	organization := origin[slash+1:]
	if slash < 1 || !audit.ValidOrganization(organization) && organization != audit.AdminOrganization {
		return malformed("the origin %q doesn't end in a slash and an organization", origin)
	}
	return nil
}

// Keys are verifier keys that somebody decided to trust.
type Keys struct{ known []note.Verifier }

// ParseKeys reads verifier keys, each as c2sp.org/signed-note writes them:
// name+hash+base64. Only Ed25519 is known. Errors are [ErrMalformed].
func ParseKeys(keys []string) (Keys, error) {
	var parsed Keys
	for _, text := range keys {
		verifier, err := note.NewVerifier(text)
		if err != nil {
			return Keys{}, malformed("%q is no verifier key: %s", text, err)
		}
		name, rest, _ := strings.Cut(text, "+")
		hash, key, _ := strings.Cut(rest, "+")
		if decoded, err := base64.StdEncoding.DecodeString(key); err != nil || base64.StdEncoding.EncodeToString(decoded) != key || hash != strings.ToLower(hash) {
			return Keys{}, malformed("%q is no verifier key: it is written in another form", text)
		}
		if err := checkOrigin(name); err != nil {
			return Keys{}, within("verifier key", err)
		}
		if !slices.ContainsFunc(parsed.known, func(v note.Verifier) bool { return keyID(v.Name(), v.KeyHash()) == keyID(name, verifier.KeyHash()) }) {
			parsed.known = append(parsed.known, verifier)
		}
	}
	return parsed, nil
}

// KeyLines are the keys of a file that has one a line, with empty lines and # comments.
func KeyLines(text string) (keys []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	return keys
}

// Len is the number of keys.
func (k Keys) Len() int { return len(k.known) }

// keyID is how a signature line names its key.
func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

// Signed is a checkpoint with those of the trusted keys that signed it.
type Signed struct {
	Checkpoint
	Keys []string `json:"keys"` // name+hash of each; at least one
}

// Open reads a checkpoint's note and checks its signatures. One by a trusted key whose
// name is the origin must be there, and none by a trusted key may be wrong; those by other
// keys say nothing. Errors are [ErrMalformed], and [ErrMismatch] for signatures.
func (k Keys) Open(text []byte) (Signed, error) {
	opened, err := note.Open(text, note.VerifierList(k.known...))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return Signed{}, mismatch(-1, "the checkpoint is signed by none of the given keys, only by %s", signers(unknown.Note.UnverifiedSigs))
	case errors.As(err, &invalid):
		return Signed{}, mismatch(-1, "the checkpoint's signature by %s is not that key's", keyID(invalid.Name, invalid.Hash))
	case err != nil:
		return Signed{}, malformed("a checkpoint is no signed note")
	}
	if err := checkSignatureLines(text[len(opened.Text)+1:]); err != nil {
		return Signed{}, err
	}
	checkpoint, err := ParseCheckpoint(opened.Text)
	if err != nil {
		return Signed{}, err
	}
	signed := Signed{Checkpoint: checkpoint}
	for _, s := range opened.Sigs {
		if s.Name == checkpoint.Origin {
			signed.Keys = append(signed.Keys, keyID(s.Name, s.Hash))
		}
	}
	if len(signed.Keys) == 0 {
		return Signed{}, mismatch(-1, "the checkpoint of %s is signed only by %s, which is another trail's key", checkpoint.Origin, signers(opened.Sigs))
	}
	return signed, nil
}

// checkSignatureLines refuses what note.Open leaves aside: base64 of another form, and
// a second signature by the same key, which it doesn't look at.
func checkSignatureLines(lines []byte) error {
	seen := map[string]bool{}
	for line := range strings.Lines(string(lines)) {
		name, signature, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "— "), " ")
		decoded, err := base64.StdEncoding.DecodeString(signature)
		if err != nil || len(decoded) < 4 || base64.StdEncoding.EncodeToString(decoded) != signature {
			return malformed("a checkpoint has a signature that is no base64")
		}
		id := name + "+" + string(decoded[:4])
		if seen[id] {
			return malformed("a checkpoint has two signatures by the same key")
		}
		seen[id] = true
	}
	return nil
}

func signers(signatures []note.Signature) string {
	const most = 4
	var names []string
	for _, s := range signatures[:min(most, len(signatures))] {
		names = append(names, keyID(s.Name, s.Hash))
	}
	if len(signatures) > most {
		names = append(names, "others")
	}
	return strings.Join(names, ", ")
}

// parseNumber reads a position or a size: decimal, without sign or leading zeros.
func parseNumber(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, malformed("%.40q is not a whole number from 0 to 2^63-1, without leading zeros", text)
	}
	return number, nil
}

// parseHash reads a hash in base64, in the one form that has padding and no spare bits.
func parseHash(text string) ([]byte, error) {
	hash, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(hash) != merkle.HashSize || base64.StdEncoding.EncodeToString(hash) != text {
		return nil, malformed("%.60q is not a hash in base64", text)
	}
	return hash, nil
}
