package auth

import (
	"bytes"
	"strings"
	"testing"
)

func TestOperators(t *testing.T) {
	ada, otto := NewOperatorToken(), NewOperatorToken()
	all, err := ParseOperators("# who may\n" + OperatorLine("admin", "ada", ada) + "\n\noperator otto " + otto + "\n")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for token, want := range map[string]string{ada: "ada", otto: "otto", ada + "x": "", "": "", strings.ToUpper(ada): ""} {
		if o, ok := WhoIs(all, token); o.Name != want || ok != (want != "") {
			t.Errorf("%q: %+v", token, o)
		}
	}
	if line := OperatorLine("admin", "ada", ada); strings.Contains(line, ada) {
		t.Error("the line shows the token")
	}
	if one, err := ParseOperators(ada + "\n"); err != nil || one[0].Role != "admin" {
		t.Errorf("a file of one token: %v %v", one, err)
	}
	for text, want := range map[string]string{
		"":                                     "no admin token",
		"# nobody":                             "no admin token",
		"short":                                "at least 16",
		"root ada " + ada:                      "ROLE NAME TOKEN",
		"admin " + ada:                         "ROLE NAME TOKEN",
		ada + "\n" + otto:                      "ROLE NAME TOKEN",
		"admin ada sha256:00":                  "64 hexadecimal",
		"admin ada short":                      "at least 16",
		"admin a " + ada + "\nviewer b " + ada: "twice",
		strings.Repeat("viewer v "+ada+"\n", 300): "more than",
	} {
		all, err := ParseOperators(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v %v, want %q", text, all, err, want)
		} else if strings.Contains(err.Error(), ada) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

func TestGossipKeyFiles(t *testing.T) {
	a, b := NewGossipKey(), NewGossipKey()
	for _, keys := range []GossipKeys{{a}, {a, b}, {b, a}} {
		got, err := ParseGossipKeys(keys.Text())
		if err != nil || len(got) != len(keys) || !bytes.Equal(got[0], keys[0]) || !bytes.Equal(got[len(got)-1], keys[len(keys)-1]) {
			t.Errorf("%x became %x: %v", keys, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                  "no gossip key",
		"#x\n":              "no gossip key",
		"c2hvcnQ=":          "16, 24 or 32",
		"not base64 at all": "gossip key 1",
		GossipKeys{a}.Text() + GossipKeys{a}.Text():                 "the same",
		GossipKeys{a, b}.Text() + GossipKeys{NewGossipKey()}.Text(): "more than 2",
	} {
		if keys, err := ParseGossipKeys(text); err == nil || !strings.Contains(err.Error(), want) || keys != nil {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// FuzzLines: nothing panics, and what is read is within the bounds.
func FuzzLines(f *testing.F) {
	f.Add(GossipKeys{NewGossipKey()}.Text())
	f.Add("admin ada sha256:" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, text string) {
		if keys, err := ParseGossipKeys(text); err == nil && (len(keys) < 1 || len(keys) > 2) {
			t.Fatal(keys)
		}
		all, err := ParseOperators(text)
		for _, o := range all {
			if err != nil || o.Name == "" || o.Role == "" {
				t.Fatalf("%+v %v", o, err)
			}
		}
	})
}
