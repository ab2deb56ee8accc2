package compare

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// pair is the two answers to one call.
type pair struct {
	*Comparison
	call     string
	old, new *answer
}

func (p *pair) find(f Finding) {
	f.Call = p.call
	p.Comparison.find(f)
}

func (p *pair) compare() {
	if p.old.status != p.new.status {
		p.find(Finding{Kind: Status, Old: text(p.old.status), New: text(p.new.status)})
		return
	}
	if p.old.status != http.StatusOK {
		p.summary.Refused[p.old.status]++ // what a refusal says is each service's own
		return
	}
	if p.old.media != p.new.media {
		p.find(Finding{Kind: Type, Old: text(p.old.media), New: text(p.new.media)})
		return
	}
	p.compareValue(place{kind: Envelope}, p.old.whole, p.new.whole)
	p.compareBeside()
	p.compareColumns()
	p.compareItems()
}

// compareBeside compares what stands around the items, and under which name they stand.
func (p *pair) compareBeside() {
	p.compareMembers(place{kind: Envelope}, p.old.envelope(), p.new.envelope())
}

// list stands for the items in their envelope.
type list struct{}

func (a *answer) envelope() map[string]any {
	members := maps.Clone(a.beside)
	if a.list != "" {
		members[a.list] = list{}
	}
	return members
}

func (p *pair) compareColumns() {
	var shared [2][]string
	for i, columns := range [][]string{p.old.columns, p.new.columns} {
		others := [][]string{p.new.columns, p.old.columns}[i]
		for _, column := range columns {
			switch {
			case p.ignore[column]:
			case slices.Contains(others, column):
				shared[i] = append(shared[i], column)
			case i == 0:
				p.find(Finding{Kind: Columns, Member: column, Old: text(true)})
			case added[column] && !p.strict:
				p.summary.Added[column]++
			default:
				p.find(Finding{Kind: Columns, Member: column, New: text(true)})
			}
		}
	}
	if !slices.Equal(shared[0], shared[1]) {
		p.find(Finding{Kind: Columns, Old: text(shared[0]), New: text(shared[1]), Note: "the columns that both have stand in another order"})
	}
}

// compareItems finds each item's counterpart by its id.
func (p *pair) compareItems() {
	places := map[string]int{}
	if p.new.items != nil {
		for i, key := range p.new.items.keys {
			places[key] = i
		}
	}
	var common []int // places in the new list, in the old one's order
	for i := range p.old.items.len() {
		key := p.old.items.keys[i]
		at, both := places[key]
		if !both {
			p.find(Finding{Kind: Missing, ID: key, Note: fmt.Sprintf("place %d", i+1)})
			continue
		}
		delete(places, key)
		common = append(common, at)
		p.compareItem(key, i, at)
	}
	for i := range p.new.items.len() {
		if _, left := places[p.new.items.keys[i]]; left {
			p.find(Finding{Kind: Extra, ID: p.new.items.keys[i], Note: fmt.Sprintf("place %d", i+1)})
		}
	}
	p.compareOrder(common)
}

func (p *pair) compareItem(key string, i, at int) {
	old, err := p.old.items.item(i)
	var new any
	if err == nil {
		new, err = p.new.items.item(at)
	}
	if err != nil {
		p.failed = err
		return
	}
	p.summary.Items++
	p.compareValue(place{kind: Member, id: key, csv: p.old.columns != nil}, old, new)
}

func (p *pair) compareOrder(common []int) {
	sorted := slices.Sorted(slices.Values(common))
	moved, first := 0, -1
	for i := range common {
		if common[i] != sorted[i] {
			if moved++; first < 0 {
				first = i
			}
		}
	}
	if moved > 0 {
		keys := p.new.items.keys
		p.find(Finding{
			Kind: Order, Old: text(keys[common[first]]), New: text(keys[sorted[first]]),
			Note: fmt.Sprintf("at place %d of the items that both have; %d stand elsewhere", first+1, moved),
		})
	}
}
