package loadtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestTailKeepsTheEndAndCountsErrors(t *testing.T) {
	var all bytes.Buffer
	log := &tail{copyTo: &all}
	for i := range 5000 {
		level := "INFO"
		if i%1000 == 0 {
			level = "ERROR"
		}
		line := fmt.Sprintf("time=x level=%s msg=%d %s\n", level, i, strings.Repeat("x", 50))
		half := len(line) / 2 // lines come in pieces
		for _, piece := range []string{line[:half], line[half:]} {
			if n, err := log.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if got := log.last(2); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=4998 ") || !strings.Contains(got, "msg=4999 ") {
		t.Errorf("last lines: %q", got)
	}
	if log.errorLines() != 5 {
		t.Errorf("%d lines of error, want 5", log.errorLines())
	}
	if len(log.kept) > 2*tailBytes || strings.Count(all.String(), "\n") != 5000 {
		t.Errorf("%d bytes kept, %d lines copied", len(log.kept), strings.Count(all.String(), "\n"))
	}
}

func TestFirstLine(t *testing.T) {
	f := &firstLine{got: make(chan []byte, 1)}
	for _, piece := range []string{`{"ready"`, ":true}\nmore\n", "and more\n"} {
		if _, err := f.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(<-f.got); got != `{"ready":true}` {
		t.Errorf("first line %q", got)
	}
}
