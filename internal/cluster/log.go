package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
)

// logWriter maps memberlist's log lines to levels of slog. Of each kind one is written in ten seconds, with the number left out:
// memberlist complains of a misconfigured neighbour, or of a stranger's bytes, with every packet.
type logWriter struct {
	log     *slog.Logger
	strange *strangers
	kinds   rare
}

var memberlistLevels = []struct {
	prefix []byte
	level  slog.Level
}{
	{[]byte("[DEBUG] "), slog.LevelDebug},
	{[]byte("[INFO] "), slog.LevelDebug}, // of interest with gossip itself only
	{[]byte("[WARN] "), slog.LevelInfo},
	{[]byte("[ERR] "), slog.LevelWarn},
	{[]byte("[ERROR] "), slog.LevelWarn},
}

func (w *logWriter) Write(line []byte) (int, error) {
	text, level := bytes.TrimSpace(line), slog.LevelInfo
	for _, l := range memberlistLevels {
		if rest, ok := bytes.CutPrefix(text, l.prefix); ok {
			text, level = rest, l.level
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	w.strange.count(text)
	said := string(text)
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(line), nil
	}
	if skipped, ok := w.kinds.due(kindOf(said)); ok {
		var args []any
		if skipped > 0 {
			args = []any{"left_out", skipped}
		}
		w.log.Log(ctx, level, "gossip: "+said, args...)
	}
	return len(line), nil
}

// kindOf is what lines of one kind have in common: not numbers, names, addresses, nor what follows the first colon.
func kindOf(text string) string {
	text, _, _ = strings.Cut(text, " from=")
	text, _, _ = strings.Cut(text, ": ")
	var b strings.Builder
	quoted := false
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case !quoted && (r < '0' || r > '9') && r < 0x80:
			b.WriteRune(r)
		}
	}
	return b.String()
}
