package player

import (
	"bytes"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

func fields(t *testing.T, r protocol.Reply) game.Fields {
	t.Helper()
	if r.Status != protocol.CodeOK {
		t.Fatalf("reply to %d: %s", r.Ref, r.Status)
	}
	return game.Payload(r.Payload).Fields()
}

func wantN(t *testing.T, r protocol.Reply, n int64) {
	t.Helper()
	f := fields(t, r)
	if got := f.Int("n"); got != n {
		t.Fatalf("reply to %d: n = %d, want %d", r.Ref, got, n)
	}
}

func wantCode(t *testing.T, r protocol.Reply, code protocol.Code) {
	t.Helper()
	if r.Status != code {
		t.Fatalf("reply to %d: %s, want %s (%s)", r.Ref, r.Status, code, r.Payload)
	}
}

func TestACallIsProcessedOnce(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		first := r.send(1, frames{}.call(7, "solo:", "add", nil))
		wantN(t, first.reply(t, 7), 1)
		again := r.send(1, frames{}.call(7, "solo:", "add", nil).call(8, "solo:", "get", nil))
		if !bytes.Equal(first.raw[0], again.raw[0]) {
			t.Fatalf("the second answer is another:\n%q\n%q", first.raw[0], again.raw[0])
		}
		wantN(t, again.reply(t, 8), 1)
	})
}

func TestACastIsNotAnswered(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		h := r.send(1, frames{}.call(0, "solo:", "add", nil).call(0, "solo:", "nothing", nil).call(0, "no:", "add", nil).call(1, "solo:", "get", nil))
		if len(h.replies) != 1 {
			t.Fatalf("replies %+v", h.replies)
		}
		wantN(t, h.reply(t, 1), 1)
	})
}

func TestWhatIsNotThere(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		for i, topic := range []string{"none:", "solo", "", "solo:other", "SOLO:", "solo:a:b"} {
			wantCode(t, r.call(1, uint64(i+1), topic, "add", nil), protocol.CodeNotFound)
		}
		wantCode(t, r.call(1, 10, "solo:", "unknown", nil), protocol.CodeNotFound)
	})
}

func TestRetryCodesAreNotKept(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		wantCode(t, r.call(1, 1, "solo:", "busy", nil), protocol.CodeBusy)
		wantN(t, r.call(1, 1, "solo:", "add", nil), 1) // the same ref may do something else now
		wantCode(t, r.call(1, 2, "solo:", "busy", nil), protocol.CodeBusy)
		for ref := uint64(3); ref < 303; ref++ {
			r.call(1, ref, "solo:", "get", nil)
		}
		wantN(t, r.call(1, 2, "solo:", "add", nil), 2) // never stale
	})
}

func TestStaleRefs(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		for ref := uint64(10); ref < 10+2*keptAnswers; ref += 2 {
			r.call(1, ref, "solo:", "add", nil)
		}
		wantN(t, r.call(1, 10, "solo:", "add", nil), 1) // the oldest one kept
		wantN(t, r.call(1, 1000, "solo:", "add", nil), keptAnswers+1)
		wantCode(t, r.call(1, 10, "solo:", "add", nil), protocol.CodeStaleRef)
		wantCode(t, r.call(1, 9, "solo:", "add", nil), protocol.CodeStaleRef)  // below it, never used
		wantN(t, r.call(1, 11, "solo:", "add", nil), keptAnswers+2)            // above it, never used
		wantN(t, r.call(1, 12+2, "solo:", "add", nil), 3)                      // kept
		wantCode(t, r.call(1, 10, "solo:", "add", nil), protocol.CodeStaleRef) // and so it stays
		wantN(t, r.call(1, 1<<63, "solo:", "add", nil), keptAnswers+3)         // any positive integer
		wantN(t, r.call(1, 1000, "solo:", "get", nil), keptAnswers+1)          // the first answer, whatever is asked
		wantN(t, r.call(1, 1002, "solo:", "get", nil), keptAnswers+3)          // refs need not rise
		if h := r.send(1, frames{}.call(9, "solo:", "add", nil)); len(h.replies) != 1 {
			t.Fatalf("%d replies to a stale ref", len(h.replies))
		}
	})
}

func TestAnOpenCallIsNeverStale(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "solo:", "wait", nil))
		for ref := uint64(2); ref < 200; ref++ {
			r.call(1, ref, "solo:", "get", nil)
		}
		if h := r.send(1, frames{}.call(1, "solo:", "wait", nil)); len(h.replies) != 0 {
			t.Fatalf("an open call was answered: %+v", h.replies)
		}
		h := r.send(1, frames{}.call(200, "solo:", "release", nil))
		wantN(t, h.reply(t, 1), 1)
	})
}

func TestSixtyFourCallsMayBeOpen(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		var f frames
		for ref := uint64(1); ref <= OpenCalls+1; ref++ {
			f = f.call(ref, "solo:", "wait", nil)
		}
		h := r.send(1, f)
		if len(h.replies) != 1 {
			t.Fatalf("%d replies", len(h.replies))
		}
		wantCode(t, h.reply(t, OpenCalls+1), protocol.CodeBusy)
		wantCode(t, r.call(1, 100, "solo:", "get", nil), protocol.CodeBusy)
		r.post(envelope.Envelope{Kind: envelope.Cast, From: "rooms/x", Topic: "solo:", Event: "release"})
		h = r.conn(1)
		if len(h.replies) != OpenCalls {
			t.Fatalf("%d deferred answers", len(h.replies))
		}
		wantN(t, r.call(1, 100, "solo:", "get", nil), OpenCalls) // it is below higher ones, and stays open
	})
}

func TestNoCallIsOpenLongerThanTenSeconds(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "solo:", "wait", nil).call(2, "rooms:a", "say", nil))
		time.Sleep(callLimit - time.Millisecond)
		if h := r.conn(1); len(h.replies) != 0 {
			t.Fatalf("answered early: %+v", h.replies)
		}
		time.Sleep(2 * time.Millisecond)
		h := r.conn(1)
		wantCode(t, h.reply(t, 1), protocol.CodeUnavailable)
		wantCode(t, h.reply(t, 2), protocol.CodeUnavailable)
		h = r.send(1, frames{}.call(3, "solo:", "release", nil))
		if len(h.replies) != 1 {
			t.Fatalf("a late answer got out: %+v", h.replies)
		}
	})
}

func TestAForwardedCallIsAnsweredByTheRoom(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.drain()
		r.post(envelope.Envelope{Kind: envelope.Frames, Conn: 1, Node: far, Payload: frames{}.call(5, "rooms:a", "say", game.NewMap().Text("x", "y").Payload())})
		out := r.routed()
		if len(out) != 1 {
			t.Fatalf("routed %+v", out)
		}
		e := out[0]
		if e.Kind != envelope.Call || e.Key != "rooms/a" || e.From != ann || e.Ref != 5 || e.Session != w.Session || e.Conn != 1 || e.Node != far ||
			e.Flags&envelope.FlagClient == 0 || e.Event != "say" {
			t.Fatalf("call to the room: %+v", e)
		}
		answer := envelope.Envelope{Kind: envelope.Reply, Ref: 5, Flags: envelope.FlagClient, Session: w.Session, FromTopic: "rooms:a", Event: "ok", Payload: game.NewMap().Int("n", 9).Payload()}
		other := answer
		other.Session = "another"
		r.post(other)
		if h := r.conn(1); len(h.replies) != 0 {
			t.Fatalf("an answer of another session: %+v", h.replies)
		}
		r.post(answer)
		h := r.conn(1)
		wantN(t, h.reply(t, 5), 9)
		r.post(answer) // it comes twice
		if h := r.conn(1); len(h.replies) != 0 {
			t.Fatalf("answered twice: %+v", h.replies)
		}
	})
}

func TestTheRoomCannotBeReached(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.reach("rooms/a", false)
		wantCode(t, r.call(1, 1, "rooms:a", "say", nil), protocol.CodeUnavailable)
		r.reach("rooms/a", true)
		r.send(1, frames{}.call(1, "rooms:a", "say", nil))
		if out := r.routed(); len(out) != 1 {
			t.Fatalf("the ref did not stay open: %+v", out)
		}
	})
}

func TestAHandlerPanics(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.call(1, 1, "probe:a", "add", nil)
		wantCode(t, r.call(1, 2, "probe:a", "boom", nil), protocol.CodeInternal)
		h := r.send(1, frames{}.call(3, "probe:a", "get", nil))
		wantN(t, h.reply(t, 3), 1)
		if len(h.pushes) != 0 {
			t.Fatalf("effects of a handler that failed: %+v", h.pushes)
		}
		if sum := r.tallies.Sum(time.Now(), "probe:a", "r"); sum.Slots[1] != 0 {
			t.Fatalf("its tally counts: %+v", sum)
		}
		if len(r.dead) != 1 || r.dead[0].Key != ann || r.dead[0].What != "probe:a boom" || r.dead[0].Cause != "boom" {
			t.Fatalf("dead letters %+v", r.dead)
		}
		wantN(t, r.call(1, 2, "probe:a", "add", nil), 2) // internal keeps the ref open
		for ref := uint64(10); ref < 14; ref++ {
			wantCode(t, r.call(1, ref, "probe:a", "boom", nil), protocol.CodeInternal)
		}
		q := r.call(1, 20, "probe:a", "get", nil)
		wantCode(t, q, protocol.CodeUnavailable)
		if f, ok := protocol.ParseFailure(q.Payload); !ok || f.RetryMS <= 0 || f.RetryMS > 1000 {
			t.Fatalf("quarantine says %+v", f)
		}
		time.Sleep(time.Second)
		wantN(t, r.call(1, 20, "probe:a", "get", nil), 2)
	})
}

func TestAnAnswerTooLongIsNotDoneAgain(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		wantCode(t, r.call(1, 1, "solo:", "long", nil), protocol.CodeInvalid)
		wantCode(t, r.call(1, 1, "solo:", "long", nil), protocol.CodeInvalid)
		wantN(t, r.call(1, 2, "solo:", "get", nil), 1)
	})
}

func TestTopicsDoNotFillMemory(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		topic := func(i int) string { return "probe:" + string(rune('a'+i%26)) + string(rune('a'+i/26)) }
		for i := range maxParts + 50 {
			r.call(1, uint64(i+1), topic(i), "get", nil)
		}
		r.entity(func(_ *shard.Worker, p *Entity) {
			if len(p.parts) != maxParts {
				t.Errorf("%d parts in memory", len(p.parts))
			}
		})
		for i := range maxParts {
			wantN(t, r.call(1, uint64(1000+i), topic(i), "add", nil), 1)
		}
		wantCode(t, r.call(1, 5000, topic(maxParts), "add", nil), protocol.CodeBusy)
		wantN(t, r.call(1, 5001, topic(3), "add", nil), 2)
	})
}

func TestDialects(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		tagged := game.Payload(protocol.AppendTaggedJSON(nil, []byte(`{"a":1}`)))
		r.post(envelope.Envelope{Kind: envelope.Hello, Conn: 1, Node: far, Flags: envelope.FlagText})
		h := r.conn(1)
		got := r.call(1, 1, "solo:", "same", tagged)
		if !bytes.Equal(got.Payload, tagged) {
			t.Fatalf("within a dialect: %q", got.Payload)
		}
		wantN(t, r.call(1, 2, "solo:", "add", tagged), 1)
		r.call(1, 3, "solo:", "push", tagged)
		copied := r.copy()
		r.hello(2, h.welcome.Session) // goes on in binary
		got = r.call(2, 1, "solo:", "same", nil)
		if f := fields(t, got); f.Int("a") != 1 {
			t.Fatalf("kept answer after the dialect changed: %q", got.Payload)
		}
		if _, isTagged := protocol.TaggedJSON(got.Payload); isTagged {
			t.Fatal("a binary client got tagged JSON")
		}
		if copied == nil {
			t.Fatal("nothing on the backup")
		}
	})
}
