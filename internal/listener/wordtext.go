package listener

import (
	"bytes"
	"strings"
	"unicode"

	"gamed/game"
	"gamed/protocol"
)

// showOK is the line of an ok answer.
func showOK(payload []byte) (string, error) {
	b, err := protocol.AppendJSON([]byte("+ok "), payload)
	if err != nil {
		return "", err
	}
	if bytes.Equal(bytes.TrimSpace(b[len("+ok "):]), []byte("{}")) {
		return "+ok", nil
	}
	return oneLine(string(b)), nil
}

// showWelcome is the answer to hello: what a person wants to know of WELCOME.
func showWelcome(w protocol.Welcome) (string, error) {
	m := game.NewMap().Text("player", w.Player).Text("node", w.Node)
	if w.Degraded {
		m.Bool("degraded", true)
	}
	return showOK(m.Payload())
}

// showPush appends the line of a push.
func showPush(dst []byte, p protocol.Push) ([]byte, error) {
	topic := string(p.Topic)
	if topic == "" {
		topic = emptyTopic
	}
	text, err := protocol.AppendJSON([]byte("< "+topic+" "+string(p.Event)+" "), p.Payload)
	if err != nil {
		return dst, err
	}
	return append(append(dst, oneLine(string(text))...), '\n'), nil
}

// failureText is the line of a refusal.
func failureText(code protocol.Code, text string) string {
	return oneLine(strings.TrimSpace("-" + string(code) + " " + text))
}

// oneLine replaces what could end the line or play with the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
