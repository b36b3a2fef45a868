package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// logWriter maps memberlist's log lines to levels of slog. A line that comes again within ten seconds is not repeated:
// memberlist complains of a misconfigured neighbour with every packet.
type logWriter struct {
	log     *slog.Logger
	strange *strangers

	mu   sync.Mutex // guards what follows
	last map[string]time.Time
}

const (
	quiet     = 10 * time.Second
	quietKeep = 256
)

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
	if ctx := context.Background(); w.log.Enabled(ctx, level) && w.fresh(string(text)) {
		w.log.Log(ctx, level, "gossip: "+string(text))
	}
	return len(line), nil
}

// fresh says whether a line was not written lately. Ports of the other side differ from line to line and do not count.
func (w *logWriter) fresh(text string) bool {
	if i := bytes.LastIndex([]byte(text), []byte(" from=")); i > 0 {
		text = text[:i]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if at, ok := w.last[text]; ok && now.Sub(at) < quiet {
		return false
	}
	if w.last == nil || len(w.last) >= quietKeep {
		w.last = map[string]time.Time{}
	}
	w.last[text] = now
	return true
}
