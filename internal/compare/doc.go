// Package compare sends the same read calls to two services and tells every difference of
// their answers: what somebody wants to know before an existing service is replaced by this
// one. It sends GET alone.
//
// An answer is read as it comes (answer.go): its list goes item by item to a temporary file,
// so that two exports of 10,000 large entries take no more memory than two entries and the
// ids. Then answers are held against each other (answers in diff.go, values in value.go).
//
// Three things are told apart, and only the first counts unless the comparison is strict:
//
//   - a difference, which a client could trip over;
//   - something added: a member that this service has beyond the customer's reference;
//   - something rewritten: another form of the same value, as the contract has it, such as
//     an absent member for null.
//
// What belongs to the last two is stated in value.go alone: a new member of the API gets its
// line in added there.
package compare
