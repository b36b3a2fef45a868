package chat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

const lobby = "chat:lobby"

func text(s string) *game.Map { return game.NewMap().Text("text", s) }

func events(pushes []gametest.Push) (all []string) {
	for _, p := range pushes {
		all = append(all, fmt.Sprintf("%d %s %s", p.Offset, p.Event, p.Value))
	}
	return all
}

func want(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestJoinTellsWhoIsThere(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	if got := ann.OK(lobby, "join", nil).String(); got != `{"members":["ann"],"count":1,"offset":0}` {
		t.Error(got)
	}
	ann.OK(lobby, "say", text("hi"))
	if got := bob.OK(lobby, "join", nil).String(); got != `{"members":["ann","bob"],"count":2,"offset":1}` {
		t.Error(got)
	}
	if got := bob.OK(lobby, "join", nil).String(); got != `{"members":["ann","bob"],"count":2,"offset":1}` {
		t.Error("a second join:", got)
	}
	if got := ann.OK(lobby, "who", nil).String(); got != `{"members":["ann","bob"],"count":2,"offset":1}` {
		t.Error(got)
	}
	want(t, events(ann.Pushes()), []string{`1 said {"from":"ann","text":"hi"}`, `0 joined {"player":"bob"}`})
	want(t, events(bob.Pushes()), nil)
}

func TestSayReachesEveryMemberTheSenderToo(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob, cat := w.Player("ann"), w.Player("bob"), w.Player("cat")
	ann.OK(lobby, "join", nil)
	bob.OK(lobby, "join", nil)
	cat.OK("chat:other", "join", nil)
	ann.Pushes()
	for i := range 3 {
		if got := ann.OK(lobby, "say", text(fmt.Sprint(i))).Int("offset"); got != int64(i+1) {
			t.Errorf("offset %d of say %d", got, i)
		}
	}
	three := []string{`1 said {"from":"ann","text":"0"}`, `2 said {"from":"ann","text":"1"}`, `3 said {"from":"ann","text":"2"}`}
	want(t, events(ann.Pushes()), three)
	want(t, events(bob.Pushes()), three)
	want(t, events(cat.Pushes()), nil)
}

func TestTextsAreJudged(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	ann.OK(lobby, "join", nil)
	ann.OK(lobby, "say", text(strings.Repeat("x", 2000)))
	ann.OK(lobby, "say", gametest.JSON(`{"text":"é <b>","more":[1]}`))
	for _, bad := range []any{nil, text(""), text(strings.Repeat("x", 2001)), text("\xff"), game.NewMap().Int("text", 1), game.Encode([]int{1}),
		gametest.JSON(`{"text":null}`), gametest.JSON(`"text"`)} {
		ann.Refused(protocol.CodeInvalid, lobby, "say", bad)
	}
	for _, event := range []string{"join", "who", "leave"} {
		ann.Refused(protocol.CodeInvalid, lobby, event, game.Encode("no map"))
	}
	ann.Refused(protocol.CodeNotFound, lobby, "shout", text("x"))
	ann.Refused(protocol.CodeNotFound, "chat:", "join", nil)
	if got := len(ann.Pushes()); got != 2 {
		t.Errorf("%d pushes, want 2", got)
	}
}

func TestOnlyMembers(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	for _, event := range []string{"say", "who", "leave"} {
		ann.Refused(protocol.CodeForbidden, lobby, event, text("x"))
	}
	ann.OK(lobby, "join", nil)
	if got := ann.OK(lobby, "leave", nil).String(); got != "{}" {
		t.Error(got)
	}
	ann.Refused(protocol.CodeForbidden, lobby, "leave", nil)
	if code, _ := w.Call(game.Address{Topic: "chat:other"}, game.Address{Topic: lobby}, "join", nil); code != protocol.CodeNotFound {
		t.Error("a room joined:", code)
	}
}

func TestPresenceByName(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob, cat := w.Player("ann"), w.Player("bob"), w.Player("cat")
	for _, p := range []*gametest.Player{ann, bob, cat} {
		p.OK(lobby, "join", nil)
	}
	ann.Pushes()
	bob.OK(lobby, "leave", nil)
	cat.End()
	want(t, events(ann.Pushes()), []string{`0 left {"player":"bob"}`, `0 left {"player":"cat"}`})
	want(t, events(bob.Pushes()), []string{`0 joined {"player":"cat"}`})
	want(t, events(cat.Pushes()), []string{`0 left {"player":"bob"}`})
	want(t, w.Members(lobby), []string{"ann"})
}

func TestBigRoomsOnlyCount(t *testing.T) {
	w := gametest.New(t, Game())
	first := w.Player("first")
	first.OK(lobby, "join", nil)
	for i := range 999 {
		w.Player(fmt.Sprint("p", i)).OK(lobby, "join", nil)
	}
	if got := len(first.Pushes()); got != 999 {
		t.Errorf("%d joined, want 999", got)
	}
	w.Player("q0").OK(lobby, "join", nil)
	w.Player("q1").OK(lobby, "join", nil)
	if got := w.Player("q2").OK(lobby, "join", nil); got.Int("count") != 1003 || len(got.Texts("members")) != 1000 {
		t.Errorf("count %d, %d members; want 1003, 1000", got.Int("count"), len(got.Texts("members")))
	}
	w.Advance(999 * time.Millisecond)
	want(t, events(first.Pushes()), nil)
	w.Advance(time.Millisecond)
	want(t, events(first.Pushes()), []string{`0 count {"count":1003}`})
	w.Advance(time.Minute)
	want(t, events(first.Pushes()), nil)
	w.Player("q0").End()
	w.Player("q1").OK(lobby, "leave", nil)
	w.Advance(time.Second)
	want(t, events(first.Pushes()), []string{`0 count {"count":1001}`})
	w.Player("q2").End()
	w.Advance(time.Second)
	want(t, events(first.Pushes()), []string{`0 left {"player":"q2"}`})
}

func TestWords(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	for _, line := range []string{"join chat:lobby", "say hi there", "who"} {
		if code, p := ann.Type(line); code != protocol.CodeOK {
			t.Errorf("%s: %s %s", line, code, p)
		}
	}
	if got := ann.Push("said").Text("text"); got != "hi there" {
		t.Errorf("said %q", got)
	}
	if code, _ := ann.Type("say  "); code != protocol.CodeInvalid {
		t.Error("say nothing:", code)
	}
	if code, _ := ann.Type("leave"); code != protocol.CodeOK {
		t.Error("leave:", code)
	}
}
