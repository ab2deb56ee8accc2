package proof

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// SigningKeys sign the checkpoints of all trails, and say by which keys those are verified.
// The private half may be elsewhere: a [crypto.Signer] can be a key service's client.
type SigningKeys struct {
	prefix  string
	signers []crypto.Signer
	public  []ed25519.PublicKey // of the signers, and of keys that signed before
}

// NewSigningKeys signs with all signers, whose keys must be Ed25519, and trusts the former
// keys as well. Prefix and organization, with a slash between, are a trail's origin.
func NewSigningKeys(prefix string, signers []crypto.Signer, former []ed25519.PublicKey) (*SigningKeys, error) {
	k := &SigningKeys{prefix: prefix, signers: signers}
	for _, s := range signers {
		public, known := s.Public().(ed25519.PublicKey)
		if !known {
			return nil, errors.New("a signing key is not an Ed25519 key")
		}
		k.public = append(k.public, public)
	}
	k.public = append(k.public, former...)
	if _, err := k.Verifiers("organization"); err != nil {
		return nil, fmt.Errorf("%q can't begin a trail's origin: it takes no spaces and no plus", prefix)
	}
	return k, nil
}

// ReadSigningKeys reads PEM blocks, as "openssl genpkey -algorithm ed25519" writes them: each
// PRIVATE KEY (PKCS #8) signs; each PUBLIC KEY signed before and is still trusted.
func ReadSigningKeys(prefix string, text []byte) (*SigningKeys, error) {
	var signers []crypto.Signer
	var former []ed25519.PublicKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		switch key, err := parseKey(block); key := key.(type) {
		case ed25519.PrivateKey:
			signers = append(signers, key)
		case ed25519.PublicKey:
			former = append(former, key)
		default:
			return nil, errors.Join(fmt.Errorf("the PEM block %q is not an Ed25519 key", block.Type), err)
		}
		text = rest
	}
	if len(signers)+len(former) == 0 {
		return nil, errors.New(`no key in it; make one with "openssl genpkey -algorithm ed25519"`)
	}
	return NewSigningKeys(prefix, signers, former)
}

func parseKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, nil
}

// NewSigningKeyFile is a new key in the form that [ReadSigningKeys] reads.
func NewSigningKeyFile() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// CanSign reports whether there is a key to sign with.
func (k *SigningKeys) CanSign() bool { return len(k.signers) > 0 }

// Origin names an organization's trail.
func (k *SigningKeys) Origin(organization string) string { return k.prefix + "/" + organization }

// Verifiers are the keys of an organization's trail in the form that [ParseKeys] reads:
// those that sign first.
func (k *SigningKeys) Verifiers(organization string) ([]string, error) {
	keys := make([]string, len(k.public))
	for i, public := range k.public {
		var err error
		if keys[i], err = note.NewEd25519VerifierKey(k.Origin(organization), public); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// VerifierKey is one of the keys that verify a trail's checkpoints.
type VerifierKey struct {
	Origin  string
	Key     string // in the form that [ParseKeys] reads
	Public  ed25519.PublicKey
	Signing bool // it signs new checkpoints here; otherwise it signed before, or signs elsewhere
}

// VerifierKeys are the keys of an organization's trail, those that sign first.
func (k *SigningKeys) VerifierKeys(organization string) ([]VerifierKey, error) {
	texts, err := k.Verifiers(organization)
	keys := make([]VerifierKey, len(texts))
	for i, text := range texts {
		keys[i] = VerifierKey{k.Origin(organization), text, k.public[i], i < len(k.signers)}
	}
	return keys, err
}

// Keys are what verifies an organization's checkpoints.
func (k *SigningKeys) Keys(organization string) (Keys, error) {
	keys, err := k.Verifiers(organization)
	if err != nil {
		return Keys{}, err
	}
	return ParseKeys(keys)
}

// sign makes the note of a checkpoint, with a line for each key that signs.
func (k *SigningKeys) sign(c Checkpoint) (string, error) {
	var signers []note.Signer
	for i, s := range k.signers {
		signers = append(signers, noteSigner{c.Origin, keyHash(c.Origin, k.public[i]), s})
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	return string(signed), err
}

// signedByAll reports whether every key that signs has signed.
func (k *SigningKeys) signedByAll(s Signed) bool {
	for _, public := range k.public[:len(k.signers)] {
		if !slices.Contains(s.Keys, keyID(s.Origin, keyHash(s.Origin, public))) {
			return false
		}
	}
	return true
}

// keyHash is how a note's signature line names its key (c2sp.org/signed-note): the first
// four bytes of a hash over name and key, of the algorithm 1, which is Ed25519.
func keyHash(name string, public ed25519.PublicKey) uint32 {
	const ed25519Algorithm = 1
	hash := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', ed25519Algorithm}, public))
	return binary.BigEndian.Uint32(hash[:])
}

// noteSigner lets a [crypto.Signer] sign notes.
type noteSigner struct {
	name string
	hash uint32
	key  crypto.Signer
}

func (s noteSigner) Name() string    { return s.name }
func (s noteSigner) KeyHash() uint32 { return s.hash }
func (s noteSigner) Sign(text []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, text, crypto.Hash(0))
}
