package trivia

import (
	"gamed/game"
	"gamed/protocol"
)

// maxAsked bounds the questions of a show in a restored state; a frame has no room for as many.
const maxAsked = 4096

// Snapshot implements game.Stater.
func (p *part) Snapshot(dst []byte) []byte {
	dst = protocol.AppendInt(dst, version)
	for _, b := range []bool{p.member, p.joining, p.out, p.over, p.prize.paid} {
		dst = protocol.AppendBool(dst, b)
	}
	for _, n := range []int64{p.run, int64(p.q), int64(p.choices), p.closes, int64(p.judged), p.won, p.asked, p.prize.run, p.prize.share, p.prize.poll, p.prize.told} {
		dst = protocol.AppendInt(dst, n)
	}
	return protocol.AppendBin(dst, p.chosen)
}

// Restore implements game.Stater.
func (p *part) Restore(b []byte) error {
	r := game.ReadState(b)
	if r.Int() != version {
		return game.ErrState
	}
	n := contestant{member: r.Bool(), joining: r.Bool(), out: r.Bool(), over: r.Bool()}
	z := prize{paid: r.Bool()}
	n.run, n.q, n.choices, n.closes, n.judged, n.won, n.asked = r.Int(), int(r.Int()), int(r.Int()), r.Int(), int(r.Int()), r.Int(), r.Int()
	z.run, z.share, z.poll, z.told = r.Int(), r.Int(), r.Int(), r.Int()
	n.chosen = r.Bytes()
	if err := r.Err(); err != nil {
		return err
	}
	if n.q < 0 || n.q > maxAsked || n.judged < 0 || n.judged > n.q || len(n.chosen) > n.q {
		return game.ErrState
	}
	p.contestant, p.prize = n, z
	return nil
}
