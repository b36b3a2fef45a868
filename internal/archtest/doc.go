// Package archtest holds the tests that keep the tree and its documents true: imports point down, every package says what it
// is, the names in docs/ARCHITECTURE.md exist, the commands in README.md work, every decision has its four parts. It has no
// code of its own; a failure says which rule was broken and why there is one.
package archtest
