package audit

import (
	"errors"
	"time"
)

// StoredEntry is an entry with what a store keeps beside its text to prove it by.
type StoredEntry struct {
	Row
	Salts    []byte
	LeafHash []byte
}

// Leaf is [Leaf] of the entry in an organization's trail. It also fails when there is a salt
// that belongs to no member.
func (e StoredEntry) Leaf(organization string) ([]byte, error) {
	leaf, salted, err := leafOf(organization, e.CreatedAt, e.Text, e.Salts)
	if err == nil && salted*(1+saltSize) != len(e.Salts) {
		err = errors.New("leaf: a salt belongs to no member of the text")
	}
	return leaf, err
}

// StoredHead is all that a trail says of itself.
type StoredHead struct {
	Size          int64
	LastCreatedAt time.Time
	Frontier      []byte
	Root          []byte
}

// StoredTile is a full tile of the tree: 256 hashes, and the root over them.
type StoredTile struct {
	Index        int64
	Hashes, Root []byte
}

// Finding is something stored that contradicts what else is stored, or was signed.
type Finding struct {
	Position int64  `json:"position"` // of the entry that is concerned, the first of several; -1 for none
	Detail   string `json:"detail"`   // what is wrong, in words
}

// FoundBy is what stores keep of an entry beside its text so that it is found: "" for what
// it can't be found by.
type FoundBy struct {
	ID, Action, ResourceType, ResourceID, UserID string
	SearchText                                   string // of admin entries, folded
}

// FoundByOf is what admission made of the entry with this stored text.
func FoundByOf(organization string, text []byte) (f FoundBy) {
	var details []byte
	admin := organization == AdminOrganization
	eachMember(text, func(m member) {
		into := (*string)(nil)
		switch m.name {
		case "id":
			into = &f.ID
		case "action":
			into = &f.Action
		case "userId":
			into = &f.UserID
		case "resourceType":
			into = &f.ResourceType
		case "resourceId":
			into = &f.ResourceID
		case "details":
			details = m.raw
		}
		if into != nil && len(m.raw) > 1 && m.raw[0] == '"' {
			*into = unquote(m.raw)
		}
	})
	if admin {
		f.ResourceType, f.ResourceID = "", "" // members of its author's own, if there are any
		f.SearchText = searchText(f.Action, details)
	}
	return f
}
