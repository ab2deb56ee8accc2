package proof_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
)

// alteration is something that is done to a vector, and that a verifier must refuse.
type alteration struct {
	Of    string `json:"of"`
	What  string `json:"what"`
	Edits []edit `json:"edits"`
}

// edit puts one text in the place where another stands first; in the place of "", at the end.
type edit struct {
	Find string `json:"find"`
	Put  string `json:"put"`
}

func (a alteration) apply(t *testing.T, text string) string {
	t.Helper()
	altered := text
	for _, e := range a.Edits {
		if !strings.Contains(altered, e.Find) {
			t.Fatalf("%s, %s: there is no %s", a.Of, a.What, e.Find)
		}
		if e.Find == "" {
			altered += e.Put
		} else {
			altered = strings.Replace(altered, e.Find, e.Put, 1)
		}
	}
	if altered == text {
		t.Fatalf("%s, %s: nothing is altered", a.Of, a.What)
	}
	return altered
}

func alterationsJSON(t *testing.T, all []alteration) string {
	t.Helper()
	var lines []string
	for _, a := range all {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(a); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, "  "+strings.TrimSpace(line.String()))
	}
	return "[\n" + strings.Join(lines, ",\n") + "\n]\n"
}

// ordered visits a map in the order of its keys, so that the file is always the same.
func ordered(m map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// alterer gathers alterations of one vector.
type alterer struct {
	of   string
	text string
	all  []alteration
}

// edit takes pairs of what is found and what is put.
func (a *alterer) edit(what string, pairs ...string) {
	one := alteration{Of: a.of, What: what}
	for i := 0; i < len(pairs); i += 2 {
		one.Edits = append(one.Edits, edit{pairs[i], pairs[i+1]})
	}
	a.all = append(a.all, one)
}

// swap exchanges two texts, of which neither holds the other.
func (a *alterer) swap(what, one, two string) {
	a.edit(what, one, "@@one@@", two, one, "@@one@@", two)
}

// member is a member of an object of a vector, as it is written.
type member struct{ name, value string }

func (m member) String() string { return fmt.Sprintf("%q:%s", m.name, m.value) }

func membersIn(object string) (found []member) {
	audit.EachMember([]byte(object), func(name string, raw []byte) { found = append(found, member{name, string(raw)}) })
	return found
}

func valueIn(object, name string) string {
	found := membersIn(object)
	return found[slices.IndexFunc(found, func(m member) bool { return m.name == name })].value
}

func itemsIn(array string) (found []string) {
	audit.EachItem([]byte(array), func(raw []byte) bool { found = append(found, string(raw)); return true })
	return found
}

// changed is the value with one character another one.
func changed(value string) string {
	i := len(value) / 2
	for value[i] >= 0x80 || strings.IndexByte(`"\{}[]:,`, value[i]) >= 0 || value[i-1] == '\\' {
		i--
	}
	by := map[bool]string{true: "7", false: "x"}[value[i] >= '0' && value[i] <= '9' && value[i] != '7']
	if value[i:i+1] == by {
		by = "8"
	}
	return value[:i] + by + value[i+1:]
}

var hashLine = regexp.MustCompile(`[A-Za-z0-9+/]{43}=`)

func alterations(t *testing.T, files map[string]string) []alteration {
	t.Helper()
	var all []alteration
	for _, make := range []func(map[string]string) []alteration{
		entryAlterations, adminAlterations, exportAlterations, filteredAlterations, consistencyAlterations, olderAlterations, newerAlterations,
	} {
		all = append(all, make(files)...)
	}
	what := map[string]bool{}
	for _, a := range all {
		if what[a.Of+a.What] {
			t.Errorf("%s: two alterations are called %s", a.Of, a.What)
		}
		what[a.Of+a.What] = true
		a.apply(t, files[a.Of])
	}
	return all
}

func entryAlterations(files map[string]string) []alteration {
	a := &alterer{of: "entry.json", text: files["entry.json"]}
	object, salts := valueIn(a.text, "entry"), valueIn(a.text, "salts")
	salted := map[string]string{}
	for _, m := range membersIn(salts) {
		salted[m.name] = m.String()
		a.edit("the salt for "+m.name+" is taken out", m.String()+",", "", "", "") // the last one, below, has no comma
		a.edit("the salt for "+m.name+" is another", m.value, changed(m.value))
	}
	lastSalt := membersIn(salts)[len(salted)-1]
	a.all = slices.DeleteFunc(a.all, func(one alteration) bool { return one.Edits[0].Find == lastSalt.String()+"," })
	a.edit("the salt for "+lastSalt.name+" is taken out", ","+lastSalt.String(), "")
	for _, m := range membersIn(object) {
		a.edit(m.name+" has another value", m.String(), member{m.name, changed(m.value)}.String())
		if m.name == "createdAt" {
			a.edit(m.name+" is taken out", ","+m.String(), "")
			continue
		}
		a.edit(m.name+" is taken out", m.String()+",", "")
		if salt, has := salted[m.name]; has && m.name != lastSalt.name {
			a.edit(m.name+" is taken out with its salt", m.String()+",", "", salt+",", "")
		} else if has {
			a.edit(m.name+" is taken out with its salt", m.String()+",", "", ","+salt, "")
		}
	}
	a.swap("two salts are exchanged", valueIn(salts, "userId"), valueIn(salts, "userName"))
	a.swap("two states are exchanged", valueIn(object, "beforeState"), valueIn(object, "afterState"))
	a.edit("there is a salt too many", `"salts":{`, `"salts":{"details":"AAAAAAAAAAAAAAAAAAAAAA",`)
	a.edit("there is a salt for a member that no leaf commits to", `"salts":{`, `"salts":{"action":"AAAAAAAAAAAAAAAAAAAAAA",`)
	a.edit("a salt stands twice", `"salts":{`, `"salts":{`+salted["userId"]+",")
	userID := valueIn(salts, "userId")
	a.edit("a salt has padding", userID, userID[:len(userID)-1]+`=="`)
	a.edit("a salt has spare bits", userID, userID[:len(userID)-2]+string(userID[len(userID)-2]+1)+`"`)
	a.edit("a salt is shorter", userID, userID[:len(userID)-3]+`"`)
	a.edit("a salt is a number", userID, "5")
	a.edit("the salts are an array", `"salts":`+salts, `"salts":[]`)
	a.edit("a member is added", `"recordedBy":`, `"note":"added","recordedBy":`)
	a.edit("a member is added with a salt", `"recordedBy":`, `"details":{},"recordedBy":`, `"salts":{`, `"salts":{"details":"AAAAAAAAAAAAAAAAAAAAAA",`)
	a.edit("a name is written with an escape", `"recordedBy":`, `"recorded\u0042y":`)
	a.edit("a plain name is written with an escape", `"action":`, `"\u0061ction":`)
	a.edit("a value is written with an escape", `"userId":"ada`, `"userId":"\u0061da`)
	a.edit("a plain value is written with an escape", `"action":"server`, `"action":"\u0073erver`)
	a.edit("a value loses an escape", `"a\/b":`, `"a/b":`)
	a.edit("a number is written in another way", `"memoryGiB":4.0`, `"memoryGiB":4`)
	a.edit("a large number is rounded", `9007199254740993`, `9007199254740992`)
	a.edit("members of a state change places", `"memoryGiB":4.0,"a\/b":[]`, `"a\/b":[],"memoryGiB":4.0`)
	a.edit("a state has a member twice", `"memoryGiB":4.0`, `"memoryGiB":4.0,"memoryGiB":4.0`)
	a.edit("the entry has a member twice", `{"entry":{`, `{"entry":{"action":"server.deleted",`)
	a.edit("an empty value stands for an absent one", `"beforeState":`+valueIn(object, "beforeState"), `"beforeState":{}`)
	a.edit("a string holds half a surrogate pair", `Ada L`, `Ada \ud800 L`)
	a.edit("a string holds bytes that are no UTF-8", "ø", "\u00c3")
	a.edit("the time has another zone", `.`+valueIn(object, "createdAt")[len(`"2026-11-23T06:05:16.`):], `.500011+00:00"`)
	a.edit("the time has fewer digits", valueIn(object, "createdAt"), `"2026-11-23T06:05:16Z"`)
	a.edit("position and createdAt change places", object[strings.Index(object, `"position"`):], valueLast(object))
	a.edit("the position is the one before, in the proof too", `"position":11`, `"position":10`, `index 11`, `index 10`)
	a.edit("the position is far beyond the tree, in the proof too", `"position":11`, `"position":9223372036854775807`, `index 11`, `index 9223372036854775807`)
	for what, written := range ordered(map[string]string{
		"a leading zero": "011", "a sign": "+11", "a fraction": "11.0", "an exponent": "11e0", "a minus": "-11", "quotes": `"11"`, "more than 63 bits": "9223372036854775808", "another number": "12",
	}) {
		a.edit("the position has "+what, `"position":11`, `"position":`+written)
		if what != "quotes" {
			a.edit("the index has "+what, `index 11`, `index `+written)
		}
	}
	text := valueIn(a.text, "proof")
	hashes := hashLine.FindAllString(text[:strings.Index(text, `\n\n`)], -1)
	for i, hash := range hashes {
		a.edit(fmt.Sprintf("hash %d of the proof is another", i), hash, changed(hash))
		a.edit(fmt.Sprintf("hash %d of the proof is left out", i), hash+`\n`, "")
	}
	a.edit("a hash of the proof stands twice", hashes[0], hashes[0]+`\n`+hashes[0])
	a.swap("two hashes of the proof are exchanged", hashes[0], hashes[1])
	a.edit("a hash of the proof has no padding", hashes[0], strings.TrimSuffix(hashes[0], "="))
	a.edit("a hash of the proof has spare bits", hashes[0], spare(hashes[0]))
	a.edit("a hash of the proof is longer", hashes[0], hashes[0][:40]+"AAA"+hashes[0][40:])
	a.edit("lines end with a carriage return", hashes[0]+`\n`, hashes[0]+`\r\n`)
	a.edit("the format is of another version", `tlog-proof@v1`, `tlog-proof@v2`)
	a.edit("there is extra data", `index 11`, `extra AAAA\nindex 11`)
	a.edit("there is no index", `index 11\n`, ``)
	a.edit("there is no empty line before the checkpoint", `\n\naudit.`, `\naudit.`)
	a.edit("there are two empty lines before the checkpoint", `\n\naudit.`, `\n\n\naudit.`)
	noteAlterations(a, text)
	admin := valueIn(files["entry-admin.json"], "proof")
	a.edit("the checkpoint is that of another trail whose key is trusted", text[strings.Index(text, `\n\naudit.`):], admin[strings.Index(admin, `\n\naudit.`):])
	a.edit("the proof is that of another trail whose key is trusted", text, admin)
	a.edit("the proof is that of another entry", text, valueIn(files["entry-rotated.json"], "proof"))
	a.edit("a member is added around", `{"entry":`, `{"comment":"checked","entry":`)
	a.edit("the proof stands twice", `{"entry":`, `{"proof":"","entry":`)
	a.edit("there are no salts", `"salts":`+salts+`,`, ``)
	a.edit("there is no proof", `,"proof":`+text, ``)
	a.edit("the proof is an object", `"proof":`+text, `"proof":{}`)
	a.edit("bytes follow", "", "{}")
	a.edit("a comma stands at the end", `,"proof":`+text, `,"proof":`+text+",")
	a.edit("it is cut", text+"}", text)
	a.edit("it is empty", a.text, " ")
	return a.all
}

// valueLast is the end of an entry with createdAt before position.
func valueLast(object string) string {
	return `"createdAt":` + valueIn(object, "createdAt") + `,"position":` + valueIn(object, "position") + "}"
}

// spare is the same hash in base64 whose last two bits aren't zero.
func spare(hash string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return hash[:42] + string(alphabet[strings.IndexByte(alphabet, hash[42])+1]) + "="
}

// noteAlterations are those of the checkpoint of acme with 21 entries, written as a JSON
// string.
func noteAlterations(a *alterer, text string) {
	const origin = prefix + "acme"
	body := text[strings.LastIndex(text, `\n\n`+origin)+4:]
	if i := strings.Index(text, `\n\naudit`); i >= 0 && strings.Contains(text, "tlog-proof") {
		body = text[i+4:]
	}
	body = strings.TrimPrefix(strings.TrimSuffix(body, `"`), `"`)
	lines := strings.Split(body, `\n`)
	size, rootHash, line := lines[1], lines[2], lines[4]
	signature := line[strings.LastIndexByte(line, ' ')+1:]
	head := origin + `\n` + size + `\n` + rootHash + `\n`
	a.edit("the checkpoint is of another organization", head, strings.Replace(head, "acme", "globex", 1))
	a.edit("the checkpoint and its key are of another organization", head, strings.Replace(head, "acme", "globex", 1), "— "+origin, "— "+prefix+"globex")
	a.edit("the origin has no organization", head, strings.Replace(head, "/acme", "", 1))
	a.edit("the checkpoint's size is another", head, strings.Replace(head, `\n21\n`, `\n22\n`, 1))
	a.edit("the checkpoint's size has a leading zero", head, strings.Replace(head, `\n21\n`, `\n021\n`, 1))
	a.edit("the checkpoint's root is another", head, strings.Replace(head, rootHash, changed(rootHash), 1))
	a.edit("the checkpoint's root has spare bits", head, strings.Replace(head, rootHash, spare(rootHash), 1))
	a.edit("the checkpoint has a line more", head, head+`time 2026-11-23\n`)
	a.edit("the checkpoint has an empty line more", head, head+`\n`)
	a.edit("the signature is another", signature, signature[:50]+map[bool]string{true: "B", false: "A"}[signature[50] == 'A']+signature[51:])
	a.edit("the signature is shorter", signature, signature[:len(signature)-4])
	a.edit("the signature is longer", signature, "AAAA"+signature)
	a.edit("the signature names another key", line, strings.Replace(line, "/acme", "/acne", 1))
	a.edit("the signature names a key of another number", line, strings.Replace(line, signature, "AAAA"+signature[4:], 1))
	a.edit("the signature line stands twice", line+`\n`, line+`\n`+line+`\n`)
	a.edit("there is no signature", `\n`+line, ``)
	a.edit("the signature line has a hyphen for its dash", `— `+origin, `- `+origin)
	a.edit("the last line doesn't end", line+`\n`, line)
	a.edit("the checkpoint is followed by text", line+`\n`, line+`\n\nand more\n`)
	a.edit("a control character stands in the checkpoint", line+`\n`, line+`\u0007\n`)
}

func adminAlterations(files map[string]string) []alteration {
	a := &alterer{of: "entry-admin.json", text: files["entry-admin.json"]}
	object, salts := valueIn(a.text, "entry"), valueIn(a.text, "salts")
	others := member{"otherMembers", valueIn(salts, "otherMembers")}
	a.edit("one of the other members has another value", `"ticket":"SUP-1842"`, `"ticket":"SUP-1843"`)
	a.edit("one of the other members is taken out", `"ticket":"SUP-1842",`, ``)
	a.edit("other members change places", `"ticket":"SUP-1842","caf\u00e9":[1.50]`, `"caf\u00e9":[1.50],"ticket":"SUP-1842"`)
	a.edit("the name of one of the other members is written in another way", `caf\u00e9`, `café`)
	a.edit("an other member is added", `"ticket":`, `"ticket2":1,"ticket":`)
	a.edit("other members are put under the name that their salt has", `"organizationId":"acme",`, ``, `"ticket":`, `"otherMembers":{"organizationId":"acme"},"ticket":`)
	a.edit("all other members are taken out with their salt", `"organizationId":"acme",`, ``, `"ticket":"SUP-1842","caf\u00e9":[1.50],"resourceType":null,`, ``, ","+others.String(), ``)
	a.edit("the organization that it is about is another", `"organizationId":"acme"`, `"organizationId":"globex"`)
	a.edit("the details have another value", `"from":10`, `"from":11`)
	a.edit("a number of the details is written in another way", `25.0`, `25`)
	a.edit("null becomes an empty string", `"resourceType":null`, `"resourceType":""`)
	a.edit("the salt of the other members is another", others.value, changed(others.value))
	a.edit("the entry is one of another organization", prefix+"_admin", prefix+"acme")
	a.edit("the time is another", valueIn(object, "createdAt"), changed(valueIn(object, "createdAt")))
	return a.all
}

// bundles are the texts of an export's bundles.
func bundles(text string) []string { return itemsIn(valueIn(text, "proofs")) }

func exportAlterations(files map[string]string) []alteration {
	a := &alterer{of: "export.json", text: files["export.json"]}
	items := itemsIn(valueIn(a.text, "items"))
	both := bundles(a.text)
	salts := append(itemsIn(valueIn(both[0], "salts")), itemsIn(valueIn(both[1], "salts"))...)
	for _, i := range []int{0, 9, 14, 15, 20} {
		at := valueIn(items[i], "position")
		userOrAction := "action"
		if i == 9 {
			userOrAction = "afterState"
		}
		value := member{userOrAction, valueIn(items[i], userOrAction)}
		a.edit("position "+at+" has another "+userOrAction, items[i], strings.Replace(items[i], value.String(), member{userOrAction, changed(value.value)}.String(), 1))
		a.edit("position "+at+" has another createdAt", items[i], strings.Replace(items[i], valueIn(items[i], "createdAt"), changed(valueIn(items[i], "createdAt")), 1))
		a.edit("position "+at+" was recorded by somebody else", items[i], strings.Replace(items[i], `"recordedBy":"`, `"recordedBy":"x`, 1))
		salt := membersIn(salts[i])[0]
		a.edit("a salt of position "+at+" is another", salt.value, changed(salt.value))
	}
	without := func(i int) []string { // the edits that leave row i out in items and salts
		pairs := []string{items[i] + ",", "", salts[i] + ",", ""}
		if i == len(items)-1 {
			pairs[0], pairs[1] = ","+items[i], ""
		}
		if i == 14 || i == 20 {
			pairs[2], pairs[3] = ","+salts[i], ""
		}
		return pairs
	}
	for _, i := range []int{0, 7, 14, 17, 20} {
		at := valueIn(items[i], "position")
		count := []string{`"items":15,`, `"items":14,`}
		if i > 14 {
			count = []string{`"items":6,`, `"items":5,`}
		}
		a.edit("position "+at+" is left out", without(i)[:2]...)
		a.edit("position "+at+" is left out with its salts", without(i)...)
		a.edit("position "+at+" is left out everywhere", append(append(without(i), count...), `"total":21`, `"total":20`)...)
	}
	a.edit("a row stands twice", items[3], items[3]+","+items[3], salts[3], salts[3]+","+salts[3], `"items":15,`, `"items":16,`, `"total":21`, `"total":22`)
	a.swap("two rows change places", items[3], items[4])
	a.edit("two rows change places with their salts", items[3], "@a@", items[4], items[3], "@a@", items[4], salts[3], "@a@", salts[4], salts[3], "@a@", salts[4])
	a.edit("two rows change positions", items[3], "@a@", items[4], repositioned(items[3], items[4]), "@a@", repositioned(items[4], items[3]), salts[3], "@a@", salts[4], salts[3], "@a@", salts[4])
	a.swap("salts of two rows are exchanged", salts[3], salts[4])
	a.edit("a row is invented", items[0], strings.Replace(items[0], `"position":20`, `"position":21`, 1)+","+items[0], salts[0], salts[0]+","+salts[0], `"items":15,`, `"items":16,`, `"total":21`, `"total":22`)
	a.edit("rows are newest last", items[0], "@a@", items[20], items[0], "@a@", items[20])
	a.edit("a bundle covers an entry less", `"items":15,`, `"items":14,`)
	a.edit("a bundle covers an entry more", `"items":15,`, `"items":16,`)
	a.edit("the bundles share their entries otherwise", `"items":15,`, `"items":14,`, `"items":6,`, `"items":7,`)
	a.edit("a bundle covers no entry", `"proofs":[`, `"proofs":[{"items":0,"checkpoint":`+valueIn(both[0], "checkpoint")+`,"salts":[],"hashes":[]},`)
	a.edit("the number of entries has a leading zero", `"items":15,`, `"items":015,`)
	a.edit("the number of entries is a string", `"items":15,`, `"items":"15",`)
	a.edit("the number of entries has a fraction", `"items":15,`, `"items":15.0,`)
	a.swap("the bundles change places", both[0], both[1])
	a.edit("a bundle is left out", ","+both[1], "")
	a.edit("a bundle stands twice", both[1], both[1]+","+both[1])
	a.edit("all bundles are left out", valueIn(a.text, "proofs"), "[]")
	a.edit("there are no proofs", `,"proofs":`+valueIn(a.text, "proofs"), "")
	a.edit("the total is less than the entries", `"total":21`, `"total":20`)
	a.edit("the total is no number", `"total":21`, `"total":"21"`)
	a.edit("there is no total", `"total":21,`, ``)
	a.edit("there are no items", valueIn(a.text, "items"), "[]", `"total":21`, `"total":0`, valueIn(a.text, "proofs"), "[]")
	a.edit("items stand twice", `,"total"`, `,"items":[],"total"`)
	a.edit("items stand last", `"items":`+valueIn(a.text, "items")+",", ``, `"total":21`, `"total":21,"items":`+valueIn(a.text, "items"))
	a.edit("a member is added around", `,"total"`, `,"comment":"checked","total"`)
	a.edit("a member is added to a bundle", `"items":15,`, `"items":15,"comment":"checked",`)
	a.edit("an item is no object", items[3], "17")
	hashes := itemsIn(valueIn(both[0], "hashes"))
	for i, hash := range hashes {
		a.edit(fmt.Sprintf("hash %d is another", i), hash, changed(hash))
		a.edit(fmt.Sprintf("hash %d is left out", i), strings.Join(hashes, ","), strings.Join(slices.Delete(slices.Clone(hashes), i, i+1), ","))
	}
	a.edit("a hash stands twice", hashes[0], hashes[0]+","+hashes[0])
	a.edit("a hash has spare bits", hashes[0], `"`+spare(hashes[0][1:45])+`"`)
	a.edit("a hash is longer", hashes[0], `"AAAA`+hashes[0][1:])
	a.swap("the hashes of the bundles are exchanged", `"hashes":[`+strings.Join(hashes, ",")+`]`, `"hashes":`+valueIn(both[1], "hashes"))
	noteAlterations(a, valueIn(both[0], "checkpoint"))
	a.edit("bytes follow", "", "\x00")
	a.edit("another export follows", "", a.text)
	a.edit("it is cut", `]}]}`, `]}]`)
	a.edit("a comma is missing", `},{"id":"e-7"`, `}{"id":"e-7"`)
	a.edit("a comma stands at the end", `]}]}`, `]}],}`)
	return a.all
}

// repositioned is an item with another's position and time.
func repositioned(item, other string) string {
	end := func(text string) string { return text[strings.Index(text, `,"position":`):] }
	return strings.TrimSuffix(item, end(item)) + end(other)
}

func filteredAlterations(files map[string]string) []alteration {
	a := &alterer{of: "export-filtered.json", text: files["export-filtered.json"]}
	both := bundles(a.text)
	for b, text := range both {
		hashes := itemsIn(valueIn(text, "hashes"))
		for i, hash := range hashes {
			a.edit(fmt.Sprintf("hash %d of bundle %d is another", i, b), strings.Join(hashes, ","), strings.Replace(strings.Join(hashes, ","), hash, changed(hash), 1))
		}
	}
	items := itemsIn(valueIn(a.text, "items"))
	a.edit("a row is moved to a position that is not in the export", `"position":17`, `"position":16`)
	a.edit("a row is taken out of the first bundle", items[1]+",", "", `"items":4`, `"items":3`, itemsIn(valueIn(both[0], "salts"))[1]+",", "")
	a.edit("a bundle has the checkpoint of the other", valueIn(both[0], "checkpoint"), "@@", valueIn(both[1], "checkpoint"), valueIn(both[0], "checkpoint"), "@@", valueIn(both[1], "checkpoint"))
	a.edit("a row is beyond its checkpoint", `"position":9,`, `"position":13,`)
	a.edit("a row stands behind an older one", `"position":9,`, `"position":2,`)
	return a.all
}

func consistencyAlterations(files map[string]string) []alteration {
	a := &alterer{of: "consistency.json", text: files["consistency.json"]}
	hashes := itemsIn(valueIn(a.text, "hashes"))
	for i, hash := range hashes {
		a.edit(fmt.Sprintf("hash %d is another", i), hash, changed(hash))
		a.edit(fmt.Sprintf("hash %d is left out", i), strings.Join(hashes, ","), strings.Join(slices.Delete(slices.Clone(hashes), i, i+1), ","))
		if i > 0 {
			a.swap(fmt.Sprintf("hashes %d and %d are exchanged", i-1, i), hashes[i-1], hash)
		}
	}
	a.edit("a hash is added", hashes[0], hashes[0]+","+hashes[1])
	a.edit("a hash has spare bits", hashes[0], `"`+spare(hashes[0][1:45])+`"`)
	a.edit("a hash is no string", hashes[0], "0")
	a.edit("there are no hashes", valueIn(a.text, "hashes"), "[]")
	a.edit("hashes are an object", valueIn(a.text, "hashes"), "{}")
	for what, written := range ordered(map[string]string{"another number": "12", "a leading zero": "013", "a fraction": "13.0", "quotes": `"13"`, "a minus": "-13"}) {
		a.edit("from has "+what, `"from":13`, `"from":`+written)
	}
	a.edit("to is another number", `"to":21`, `"to":20`)
	a.edit("from and to are exchanged", `"from":13,"to":21`, `"from":21,"to":13`)
	a.edit("from is missing", `"from":13,`, ``)
	a.edit("from stands twice", `{`, `{"from":13,`)
	a.edit("a member is added", `{`, `{"comment":"checked",`)
	a.edit("the checkpoint is the older one", valueIn(a.text, "checkpoint"), quote(files["checkpoint-13.txt"]))
	noteAlterations(a, valueIn(a.text, "checkpoint"))
	a.edit("bytes follow", "", "]")
	a.edit("it is cut", `\n"}`, `\n"`)
	return a.all
}

func olderAlterations(files map[string]string) []alteration {
	older, newer := files["checkpoint-13.txt"], files["checkpoint-21.txt"]
	a := &alterer{of: "checkpoint-13.txt", text: older}
	lines := strings.Split(older, "\n")
	signature := lines[4][strings.LastIndexByte(lines[4], ' ')+1:]
	a.edit("the size is another", "\n13\n", "\n12\n")
	a.edit("the root is another", lines[2], changed(lines[2]))
	a.edit("the size and the root are those of the newer one", lines[1]+"\n"+lines[2], strings.Join(strings.Split(newer, "\n")[1:3], "\n"))
	a.edit("the signature is another", signature, signature[:60]+map[bool]string{true: "B", false: "A"}[signature[60] == 'A']+signature[61:])
	a.edit("the signature is that of the newer one", signature, strings.Fields(strings.Split(newer, "\n")[4])[2])
	a.edit("lines end with carriage returns", "\n13\n", "\r\n13\r\n")
	a.edit("the organization is another", "/acme\n", "/acne\n")
	a.edit("a line is added", "\n13\n", "\n13\n\n")
	a.edit("it has no last line feed", signature+"\n", signature)
	a.edit("bytes follow", "", "x")
	a.edit("it is empty", older, " ")
	signed := func(what, text string) {
		a.edit("signed, but "+what, older, text+"\n"+current.line(prefix+"acme", text))
	}
	origin, rootHash := prefix+"acme\n", lines[2]+"\n"
	for what, size := range ordered(map[string]string{
		"the size has a leading zero": "013", "the size has a sign": "+13", "the size has a minus": "-13", "the size is followed by a space": "13 ", "the size has a point": "13.0",
		"the size is empty": "", "the size has more than 63 bits": "9223372036854775808", "the size is in other digits": "１３", "the size is 0 with a root of entries": "0",
	}) {
		signed(what, origin+size+"\n"+rootHash)
	}
	signed("there is a line of extension", origin+"13\n"+rootHash+"time\n")
	signed("there is an empty line behind", origin+"13\n"+rootHash+"\n")
	signed("there is an empty line between", origin+"\n13\n"+rootHash)
	signed("there is no root", origin+"13\n")
	signed("the root has spare bits", origin+"13\n"+spare(lines[2])+"\n")
	signed("the root has no padding", origin+"13\n"+strings.TrimSuffix(lines[2], "=")+"\n")
	signed("the root is shorter", origin+"13\n"+lines[2][:40]+"\n")
	signed("the root is in base64url", origin+"13\n"+"-"+lines[2][1:]+"\n")
	signed("the root is that of other entries", origin+"13\n"+changed(lines[2])+"\n")
	signed("the origin is another organization's", prefix+"globex\n13\n"+rootHash)
	signed("the origin has no organization", "audit.ocore.dev/trails/\n13\n"+rootHash)
	signed("the origin has no slash", "acme\n13\n"+rootHash)
	signed("the origin is empty", "\n13\n"+rootHash)
	return a.all
}

func newerAlterations(files map[string]string) []alteration {
	older, newer := files["checkpoint-13.txt"], files["checkpoint-21.txt"]
	a := &alterer{of: "checkpoint-21.txt", text: newer}
	lines := strings.Split(newer, "\n")
	a.edit("the size is another", "\n21\n", "\n20\n")
	a.edit("the root is another", lines[2], changed(lines[2]))
	a.edit("it is the older one", newer, older)
	a.edit("it is signed by the key that follows alone", lines[4]+"\n", "")
	a.edit("it is followed by an empty line", "", "\n")
	a.edit("a signature line is no base64", lines[5], lines[5]+"!")
	a.edit("a signature line has spare bits", lines[5], strings.TrimSuffix(lines[5], lines[5][len(lines[5])-2:])+string(lines[5][len(lines[5])-2]+1)+"=")
	const origin = prefix + "acme"
	text := func(size int, rootHash string) string { return fmt.Sprintf("%s\n%d\n%s\n", origin, size, rootHash) }
	for what, body := range ordered(map[string]string{
		"it has fewer entries than the older one": text(12, lines[2]),
		"it has another root of the older size":   text(13, lines[2]),
		"it has another root of its size":         text(21, changed(lines[2])),
	}) {
		a.edit("signed, but "+what, newer, body+"\n"+current.line(origin, body))
	}
	globex := prefix + "globex\n21\n" + lines[2] + "\n"
	a.edit("signed, but by the same key under another name", newer, globex+"\n"+current.line(prefix+"globex", globex))
	return a.all
}

func TestEachAlterationIsRefused(t *testing.T) {
	t.Parallel()
	files := vectors(t)
	keys, err := proof.ParseKeys(proof.KeyLines(files["keys.txt"]))
	if err != nil {
		t.Fatal(err)
	}
	counts, mismatches := map[string]int{}, 0
	for _, a := range alterations(t, files) {
		altered := maps.Clone(files)
		altered[a.Of] = a.apply(t, files[a.Of])
		proven, err := check(altered, a.Of, keys)
		var told *proof.Error
		switch {
		case err == nil:
			t.Errorf("%s verifies although %s: %v", a.Of, a.What, proven)
		case !errors.As(err, &told):
			t.Errorf("%s, %s: %v is no error of this package", a.Of, a.What, err)
		}
		if errors.Is(err, proof.ErrMismatch) {
			mismatches++
		}
		counts[a.Of]++
		t.Logf("%s: %s: %v", a.Of, a.What, err)
	}
	for _, name := range []string{"entry.json", "export.json"} {
		if counts[name] < 50 {
			t.Errorf("%s has only %d alterations", name, counts[name])
		}
	}
	if pair := counts["consistency.json"] + counts["checkpoint-13.txt"] + counts["checkpoint-21.txt"]; pair < 50 {
		t.Errorf("checkpoints have only %d alterations", pair)
	}
	t.Logf("%v, %d of them mismatches", counts, mismatches)
}
