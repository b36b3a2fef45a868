package bank

import (
	"gamed/game"
	"gamed/protocol"
)

// version of the state's encoding, its first value.
const version = 2

// merged is how many times more of something bounded a state may have after merges: each side has its own.
const merged = 8

// Snapshot implements game.Stater.
func (a *account) Snapshot(dst []byte) []byte {
	dst = protocol.AppendInt(dst, version)
	dst = protocol.AppendInt(dst, a.balance)
	dst = protocol.AppendInt(dst, a.seq)
	dst = protocol.AppendArray(dst, len(a.done))
	for _, d := range a.done {
		dst = protocol.AppendStr(dst, d.kind)
		dst = protocol.AppendInt(dst, d.amount)
		dst = protocol.AppendStr(dst, d.to)
		dst = protocol.AppendBin(dst, []byte(d.id))
		dst = protocol.AppendInt(dst, d.balance)
	}
	dst = protocol.AppendArray(dst, len(a.credits))
	for _, g := range a.credits {
		dst = protocol.AppendBin(dst, []byte(g.id))
		dst = protocol.AppendInt(dst, g.amount)
	}
	dst = protocol.AppendInt(dst, int64(a.calls.session))
	dst = protocol.AppendArray(dst, len(a.calls.done))
	for _, d := range a.calls.done {
		dst = protocol.AppendInt(dst, int64(d.ref))
		dst = protocol.AppendInt(dst, d.delta)
	}
	dst = protocol.AppendArray(dst, len(a.out))
	for _, t := range a.out {
		dst = protocol.AppendInt(dst, t.seq)
		dst = protocol.AppendStr(dst, t.to)
		dst = protocol.AppendInt(dst, t.amount)
		dst = protocol.AppendBool(dst, t.settled)
	}
	dst = protocol.AppendArray(dst, len(a.in))
	for _, s := range a.in {
		dst = protocol.AppendStr(dst, s.name)
		dst = protocol.AppendInt(dst, s.low)
		dst = protocol.AppendInt(dst, s.seen)
		dst = protocol.AppendArray(dst, len(s.open))
		for _, o := range s.open {
			dst = protocol.AppendInt(dst, o.seq)
			dst = protocol.AppendBool(dst, o.refused)
			dst = protocol.AppendInt(dst, o.doubt)
		}
	}
	dst = protocol.AppendArray(dst, len(a.got))
	for _, g := range a.got {
		dst = protocol.AppendStr(dst, g.from)
		dst = protocol.AppendInt(dst, g.seq)
		dst = protocol.AppendInt(dst, g.amount)
	}
	return dst
}

// Restore implements game.Stater.
func (a *account) Restore(b []byte) error {
	r := game.ReadState(b)
	if r.Int() != version {
		return game.ErrState
	}
	n := account{balance: r.Int(), seq: r.Int()}
	for range r.Len(kept) {
		n.done = append(n.done, operation{kind: r.Text(), amount: r.Int(), to: r.Text(), id: r.Text(), balance: r.Int()})
	}
	for range r.Len(kept) {
		n.credits = append(n.credits, credit{r.Text(), r.Int()})
	}
	n.calls.session = uint64(r.Int())
	for range r.Len(keptCalls) {
		n.calls.done = append(n.calls.done, call{uint64(r.Int()), r.Int()})
	}
	for range r.Len(merged * maxOut) {
		n.out = append(n.out, transfer{seq: r.Int(), to: r.Text(), amount: r.Int(), settled: r.Bool()})
	}
	for range r.Len(merged * maxSenders) {
		s := sender{name: r.Text(), low: r.Int(), seen: r.Int()}
		for range r.Len(merged * maxOut) {
			s.open = append(s.open, outcome{seq: r.Int(), refused: r.Bool(), doubt: r.Int()})
		}
		n.in = append(n.in, s)
	}
	for range r.Len(kept) {
		n.got = append(n.got, receipt{from: r.Text(), seq: r.Int(), amount: r.Int()})
	}
	if err := r.Err(); err != nil {
		return err
	}
	*a = n
	return nil
}
