package games

import (
	"testing"

	"gamed/game/gametest"
	"gamed/protocol"
)

func TestAllGamesLiveTogether(t *testing.T) {
	w := gametest.New(t, All()...)
	ann := w.Player("ann")
	ann.OK("echo:", "x", nil)
	ann.OK("bank:", "balance", nil)
	ann.OK("chat:lobby", "join", nil)
	ann.OK("trivia:friday", "join", nil)
	ann.Refused(protocol.CodeNotFound, "chess:1", "join", nil)
}

// Names are what clients address and words what people type: none may be taken twice, nor be one of word mode's own.
func TestNamesAndWordsAreUnique(t *testing.T) {
	words := map[string]string{"hello": "word mode", "join": "word mode", "call": "word mode", "ping": "word mode", "help": "word mode", "bye": "word mode"}
	for _, g := range All() {
		if !protocol.ValidTopic(g.Name + ":") {
			t.Errorf("%q is no game's name", g.Name)
		}
		for _, w := range g.Words {
			if words[w.Name] != "" {
				t.Errorf("the word %q of %s is taken by %s", w.Name, g.Name, words[w.Name])
			}
			words[w.Name] = g.Name
			if w.Help == "" || w.Event == "" {
				t.Errorf("the word %q says too little: %+v", w.Name, w)
			}
		}
	}
	for _, name := range []string{"deposit", "withdraw", "transfer", "balance", "say", "who", "leave", "answer"} {
		if words[name] == "" {
			t.Errorf("no game has the word %q", name)
		}
	}
}
