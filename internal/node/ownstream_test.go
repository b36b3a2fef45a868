package node

import (
	"testing"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/protocol"
)

// Whatever comes twice, late or not at all, what is written to the socket is the stream without gaps, and a gap is told.
func TestTheOwnStreamIsWrittenOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o ownStream
		if out, gap := o.take(protocol.AppendPush(nil, "", 1, "e", game.EmptyMap)); len(out) > 0 || !gap {
			t.Fatal("taken before WELCOME")
		}
		begin := rapid.Uint64Range(0, 3).Draw(t, "begin")
		o.begin(begin)
		o.begin(begin + 5) // a later WELCOME
		last, others := begin, 0
		for range rapid.IntRange(1, 30).Draw(t, "outs") {
			var in []byte
			sent, highest := 0, uint64(0)
			for range rapid.IntRange(1, 4).Draw(t, "frames") {
				switch offset := rapid.Uint64Range(0, 12).Draw(t, "offset"); rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					in, sent = protocol.AppendReply(in, offset+1, game.EmptyMap), sent+1
				case 1:
					in, sent = protocol.AppendPush(in, "chat:a", offset, "e", game.EmptyMap), sent+1
				default:
					in = protocol.AppendPush(in, "", offset, "e", game.EmptyMap)
					if highest = max(highest, offset); offset == 0 {
						sent++
					}
				}
			}
			out, gap := o.take(in)
			for len(out) > 0 {
				n := protocol.LengthSize + int(out[2])<<8 + int(out[3])
				if offset, own := ownPush(out[protocol.LengthSize:n]); !own {
					others++
					sent--
				} else if last++; offset != last {
					t.Fatalf("push %d is written after %d", offset, last-1)
				}
				out = out[n:]
			}
			if sent != 0 {
				t.Fatalf("%d other frames too many or too few", -sent)
			}
			if o.at != last || highest > last && !gap {
				t.Fatalf("stands at %d, wrote up to %d, saw %d: gap %v", o.at, last, highest, gap)
			}
		}
	})
}

func TestAStreamThatIsWholeIsNotCopied(t *testing.T) {
	o := ownStream{known: true}
	in := protocol.AppendReply(protocol.AppendPush(nil, "", 1, "e", game.EmptyMap), 1, game.EmptyMap)
	if n := testing.AllocsPerRun(100, func() {
		o.at = 0
		if out, _ := o.take(in); len(out) != len(in) {
			t.Fatal("something is left out")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
