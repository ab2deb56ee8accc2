package proof_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"ocore.dev/audit/internal/proof"
)

func TestACheckpointIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	tr := acme(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	for size := range len(tr.items) + 1 {
		signed, err := keys.Open([]byte(tr.checkpoint(size)))
		if err != nil || signed.Size != int64(size) || signed.Organization() != "acme" || !strings.HasPrefix(tr.checkpoint(size), signed.Text()+"\n") {
			t.Fatalf("size %d: %v, %v", size, signed, err)
		}
		if again, err := proof.ParseCheckpoint(signed.Text()); err != nil || again.Text() != signed.Text() {
			t.Fatalf("size %d: %v, %v", size, again, err)
		}
	}
}

func TestKeysAreWrittenInOneForm(t *testing.T) {
	t.Parallel()
	good := current.verifier(t, "acme")
	parts := strings.SplitN(good, "+", 3)
	public := parts[2]
	der, _ := base64.StdEncoding.DecodeString(public)
	other := append([]byte{4}, der[1:]...)
	for name, key := range map[string]string{
		"empty": "", "no hash": parts[0] + "+" + public, "another hash": parts[0] + "+00000000+" + public, "upper case": parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + public,
		"another name": prefix + "globex+" + parts[1] + "+" + public, "a line feed": good[:len(good)-4] + "\n" + good[len(good)-4:], "trailing bytes": good + "A",
		"another algorithm": parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(other), "a private key": "PRIVATE+KEY+" + good,
		"no organization": strings.Replace(good, "/acme", "/", 1),
	} {
		if _, err := proof.ParseKeys([]string{good, key}); !errors.Is(err, proof.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, err := proof.ParseKeys(proof.KeyLines("# ours\n\n " + good + " \r\n" + good + "\n" + next.verifier(t, "acme")))
	if err != nil || keys.Len() != 2 {
		t.Errorf("%d keys, %v", keys.Len(), err)
	}
}

// What is a note, and who signed it, is decided as Go's own checksum database decides.
func TestNotesAreOpenedAsElsewhere(t *testing.T) {
	t.Parallel()
	tr := acme(t)
	good := tr.checkpoint(13)
	text, line, _ := strings.Cut(good, "\n\n")
	text += "\n"
	unknown := func(i int) string { return key{byte(100 + i)}.line(prefix+"acme", text) }
	var many, tooMany string
	for i := range 99 {
		many += unknown(i)
	}
	for i := range 101 {
		tooMany += unknown(i)
	}
	verifier, err := note.NewVerifier(current.verifier(t, "acme"))
	if err != nil {
		t.Fatal(err)
	}
	keys := mustKeys(t, current.verifier(t, "acme"))
	for name, signed := range map[string]string{
		"good": good, "17 signatures": text + "\n" + strings.Join(strings.SplitAfter(many, "\n")[:16], "") + line, "100 signatures": text + "\n" + many + line, "102 signatures": text + "\n" + tooMany + line,
		"an unknown key before": text + "\n" + unknown(0) + line, "an unknown key behind": good + unknown(0), "unknown keys alone": text + "\n" + many,
		"a wrong signature by a known key": text + "\n" + current.line(prefix+"acme", text+"x"), "a witness": good + "— witness.example/w " + line[len(line)-90:],
		"no line feed": strings.TrimSuffix(good, "\n"), "carriage returns": strings.ReplaceAll(good, "\n", "\r\n"), "one carriage return": strings.Replace(good, "\n", "\r\n", 1),
		"an empty line more": strings.Replace(good, "\n\n", "\n\n\n", 1), "no empty line": strings.Replace(good, "\n\n", "\n", 1), "nothing": "", "text alone": text + "\n",
		"a control character": strings.Replace(good, "acme\n", "acme\x07\n", 1), "no UTF-8": strings.Replace(good, "acme\n", "acme\xff\n", 1), "a tab": strings.Replace(good, " ", "\t", 1),
	} {
		_, want := note.Open([]byte(signed), note.VerifierList(verifier))
		_, got := keys.Open([]byte(signed))
		if (got == nil) != (want == nil) {
			t.Errorf("%s: %v, elsewhere %v", name, got, want)
		}
		var unverified *note.UnverifiedNoteError
		var invalid *note.InvalidSignatureError
		if errors.As(want, &unverified) || errors.As(want, &invalid) {
			if !errors.Is(got, proof.ErrMismatch) {
				t.Errorf("%s: %v is no mismatch", name, got)
			}
		}
	}
}

func TestManySignersAreNotAllNamed(t *testing.T) {
	t.Parallel()
	text := strings.Split(acme(t).checkpoint(13), "\n\n")[0] + "\n"
	signed := text + "\n"
	for i := range 50 {
		signed += key{byte(100 + i)}.line(prefix+"acme", text)
	}
	_, err := mustKeys(t, current.verifier(t, "acme")).Open([]byte(signed))
	if err == nil || len(err.Error()) > 400 || !strings.HasSuffix(err.Error(), "others") {
		t.Error(err)
	}
}
