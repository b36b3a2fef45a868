package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile: whatever stands in a configuration file, Load answers with settings that are valid or with one line that says what is
// wrong.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"", "listen: 127.0.0.1:7300\njoin: [a:1, b:2]\n", "listen: [", "a: &x [*x]", "? {}\n: {}", "rate-limit: off\nexpect: 3 # three\n",
		"listen: !!binary AAAA", "---\n---\n", "heartbeat: 1e999", "- a\n- b", "listen: |\n  127.0.0.1:1\n", "store: postgres://u:hidden@h/d\nlisten: 1\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "gamed.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Load(Input{File: file})
		if err != nil {
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hidden@") {
				t.Fatalf("%q", err)
			}
			return
		}
		if err := l.Validate(); err != nil {
			t.Fatalf("taken, and not valid: %v", err)
		}
	})
}
