package game

import (
	"errors"
	"testing"

	"gamed/protocol"
)

func TestStateReaderRemembersTheFirstMistake(t *testing.T) {
	b := protocol.AppendInt(nil, -7)
	b = protocol.AppendBool(protocol.AppendStr(protocol.AppendArray(b, 2), "a"), true)
	r := ReadState(b)
	if n, l, s, ok := r.Int(), r.Len(2), r.Text(), r.Bool(); n != -7 || l != 2 || s != "a" || !ok || r.Err() != nil {
		t.Errorf("read %d, %d, %q, %v: %v", n, l, s, ok, r.Err())
	}
	if r.Int(); !errors.Is(r.Err(), ErrState) {
		t.Error("read beyond the end")
	}
	for name, read := range map[string]func(r *StateReader){
		"a text":     func(r *StateReader) { _ = r.Text() },
		"a bool":     func(r *StateReader) { r.Bool() },
		"too long":   func(r *StateReader) { r.Int(); r.Len(1) },
		"an integer": func(r *StateReader) { r.Int(); r.Int() },
	} {
		r := ReadState(b)
		if read(r); r.Err() == nil {
			t.Errorf("%s: no error", name)
		}
		if r.Int() != 0 || r.Len(9) != 0 || len(r.Bytes()) != 0 || r.Bool() {
			t.Errorf("%s: reads on after a mistake", name)
		}
	}
}
