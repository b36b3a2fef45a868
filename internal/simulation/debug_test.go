package simulation

import (
	"fmt"
	"reflect"
	"strings"
)

// dump shows what a node's ownership machine waits for.
func (n *node) dump() string {
	var b strings.Builder
	m := reflect.ValueOf(n.own).Elem()
	for it := m.FieldByName("parts").MapRange(); it.Next(); {
		fmt.Fprintf(&b, "  part %v: %+v\n", it.Key(), it.Value().Elem())
	}
	for it := m.FieldByName("ahead").MapRange(); it.Next(); {
		fmt.Fprintf(&b, "  ahead %v: %+v\n", it.Key(), it.Value().Elem())
	}
	for it := m.FieldByName("gathers").MapRange(); it.Next(); {
		fmt.Fprintf(&b, "  gather %v: %+v\n", it.Key(), it.Value().Elem())
	}
	fmt.Fprintf(&b, "  marks %+v released %v clock %v", m.FieldByName("marks"), m.FieldByName("released"), n.clock())
	s := b.String()
	if len(s) > 4000 {
		s = s[:4000]
	}
	return s
}
