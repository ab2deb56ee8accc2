package importer

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// sortRecords puts records into the order in which they happened. Positions say it
// exactly, whatever the order of the sources; where one is missing, only the order in
// which the records were found tells those of one time apart.
func sortRecords(records []Record) {
	if slices.ContainsFunc(records, func(r Record) bool { return r.position == nil }) {
		if newestFirst(records) {
			slices.Reverse(records)
		}
		slices.SortStableFunc(records, byTime)
		return
	}
	slices.SortStableFunc(records, func(a, b Record) int {
		return cmp.Or(byTime(a, b), cmp.Compare(*a.position, *b.position))
	})
}

// newestFirst reports whether the records descend in time, as lists and exports do: then
// those of one time happened in the reverse of their order too.
func newestFirst(records []Record) bool {
	timed := func(r Record) bool { return !r.Time.IsZero() }
	first := slices.IndexFunc(records, timed)
	if first < 0 {
		return false
	}
	descends := false
	for last, r := records[first], records[first:]; len(r) > 0; r = r[1:] {
		if timed(r[0]) {
			if r[0].Time.After(last.Time) {
				return false
			}
			descends = descends || r[0].Time.Before(last.Time) || before(r[0].position, last.position)
			last = r[0]
		}
	}
	return descends
}

func before(a, b *int64) bool {
	return a != nil && b != nil && *a < *b
}

func byTime(a, b Record) int {
	if a.Time.IsZero() != b.Time.IsZero() {
		return -a.Time.Compare(b.Time)
	}
	return a.Time.Compare(b.Time)
}

// byPath compares paths name by name, so that a folder's files stay together.
func byPath(a, b string) int {
	separator := string(filepath.Separator)
	return slices.CompareFunc(strings.Split(a, separator), strings.Split(b, separator), byName)
}

// byName compares names with their runs of digits as numbers: page-2 is before page-10.
func byName(a, b string) int {
	restA, restB := a, b
	for restA != "" && restB != "" {
		var order int
		if numberA, numberB := digits(restA), digits(restB); numberA != "" && numberB != "" {
			order = byNumber(numberA, numberB)
			restA, restB = restA[len(numberA):], restB[len(numberB):]
		} else {
			order = cmp.Compare(restA[0], restB[0])
			restA, restB = restA[1:], restB[1:]
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Or(cmp.Compare(len(restA), len(restB)), strings.Compare(a, b))
}

// digits returns the digits that the text begins with.
func digits(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
}

// byNumber compares numbers of any length.
func byNumber(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
