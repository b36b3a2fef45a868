package node

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gamed/internal/admin"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
	"gamed/protocol"
)

// Bounds of what is shown of a copy.
const (
	maxShownValue = 500       // characters of a section's decoded value
	maxShownRaw   = 512 << 10 // bytes of a copy; what would be beyond is not sent
)

// shown makes a copy of an entity readable for people.
func shown(copy state.Sections) admin.Copy {
	out := admin.Copy{Sections: []admin.Section{}}
	if ms := merge.Spoke(copy); ms != 0 {
		at := time.UnixMilli(ms).UTC()
		out.Spoke = &at
	}
	room := maxShownRaw
	for _, name := range slices.Sorted(maps.Keys(copy)) {
		raw := masked(copy[name])
		s := admin.Section{Name: strings.ToValidUTF8(string(masked([]byte(name))), "?"), Bytes: len(raw), Value: decoded(raw)}
		if len(raw) <= room {
			s.Raw = raw
			room -= len(raw)
		}
		out.Sections = append(out.Sections, s)
	}
	return out
}

var sessionID = regexp.MustCompile(`[0-9a-f]{32}`)

// masked hides all but the first six characters of what looks like a session's id.
func masked(b []byte) []byte {
	return sessionID.ReplaceAllFunc(b, func(id []byte) []byte {
		return append(bytes.Clone(id[:6]), bytes.Repeat([]byte("*"), len(id)-6)...)
	})
}

// decoded shows a section: a list of values as JSON, each in turn; a frame by what is in it.
func decoded(b []byte) string {
	var out []byte
	for rest := b; len(rest) > 0 && len(out) < maxShownValue; {
		c := protocol.NewCursor(rest)
		value, ok := c.Raw()
		if ok && len(out) > 0 {
			out = append(out, ' ')
		}
		text, err := protocol.AppendJSON(out, value)
		if !ok || err != nil {
			break
		}
		out, rest = text, c.Rest()
	}
	text := strings.ToValidUTF8(string(out), "?")
	if runes := []rune(text); len(runes) > maxShownValue {
		text = string(runes[:maxShownValue]) + "…"
	}
	return text
}
