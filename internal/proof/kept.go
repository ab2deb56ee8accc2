package proof

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Kept is where the newest checkpoint of each trail is kept outside of the database, so
// that whoever can write the database, or restores an old copy of it, can't take back what
// was signed.
type Kept interface {
	// Newest is the note of the checkpoint that was kept last, "" when none was.
	Newest(organization string) (string, error)
	Keep(organization, note string) error
}

// KeptFolder keeps each trail's newest checkpoint in a file of a folder.
type KeptFolder string

func (k KeptFolder) path(organization string) string {
	return filepath.Join(string(k), organization+".checkpoint")
}

// Organizations are those whose checkpoints are kept.
func (k KeptFolder) Organizations() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(string(k), "*.checkpoint"))
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".checkpoint")
	}
	return files, err
}

// Newest implements [Kept].
func (k KeptFolder) Newest(organization string) (string, error) {
	text, err := os.ReadFile(k.path(organization))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// Keep implements [Kept]. A crash leaves the old file or the new one.
func (k KeptFolder) Keep(organization, note string) error {
	file, err := os.CreateTemp(string(k), ".checkpoint-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(note)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), k.path(organization))
}
