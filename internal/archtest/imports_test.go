package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// families gives every package its level; imports go to lower levels only. The longest prefix counts, and packages of one
// family (cluster, cluster/mesh) may import each other, as far as Go allows.
var families = map[string]int{
	"protocol":            0,
	"internal/config":     0,
	"game":                1,
	"game/gametest":       2,
	"games":               3,
	"client":              3,
	"internal/auth":       4,
	"internal/envelope":   4,
	"internal/state":      4,
	"internal/stream":     4,
	"internal/tally":      4,
	"internal/actor":      5,
	"internal/inflight":   5,
	"internal/store":      5,
	"internal/shard":      6,
	"internal/replica":    7,
	"internal/listener":   8,
	"internal/player":     8,
	"internal/room":       8,
	"internal/cluster":    8,
	"internal/admin":      8,
	"internal/simulation": 9,
	"internal/node":       9,
	"internal/archtest":   9,
	"cmd":                 10,
	"loadtest":            10,
	"deploy":              10,
}

// only narrows what a family may import of ours, beyond its level.
var only = map[string]struct {
	allowed []string
	why     string
}{
	"protocol":        {nil, "clients of other programs vendor it alone"},
	"internal/config": {nil, "it is a leaf, so that every command and test can have it"},
	"game":            {[]string{"protocol"}, "authors see no server in what they write against"},
	"game/gametest":   {[]string{"game", "protocol"}, "authors test without a server"},
	"games":           {[]string{"game", "protocol", "game/gametest"}, "the games in the box are examples and must use nothing that an author does not have"},
	"client":          {[]string{"game", "protocol"}, "a player's program must not carry the server"},
	"internal/auth":   {[]string{"protocol"}, "who may play is decided by keys and tokens alone"},
	"internal/actor":  {[]string{"internal/envelope", "protocol"}, "it knows no games and no network"},
	"internal/admin":  {[]string{"internal/config", "protocol"}, "it is HTTP only and declares the interface it needs"},
}

// homes keeps the types of a library inside the packages named.
var homes = map[string]struct {
	allowed []string
	why     string
}{
	"github.com/hashicorp/memberlist":                         {[]string{"internal/cluster"}, "membership may be replaced without touching anything else"},
	"github.com/buraksezer/consistent":                        {[]string{"internal/cluster"}, "others see the table, not how it was computed"},
	"github.com/golang-jwt/jwt":                               {[]string{"internal/auth"}, "one place decides which tokens are good"},
	"github.com/jackc/pgx":                                    {[]string{"internal/store"}, "the store is an interface"},
	"go.etcd.io/bbolt":                                        {[]string{"internal/store"}, "the store is an interface"},
	"github.com/vmihailenco/msgpack":                          {[]string{"game", "games"}, "frames and envelopes have hand-written codecs: hostile bytes kill this one"},
	"github.com/spf13/cobra":                                  {[]string{"cmd", "loadtest"}, "packages are used by tests and other programs, which have no command line"},
	"gopkg.in/yaml.v3":                                        {nil, "the YAML library is goccy/go-yaml"},
	"encoding/gob":                                            {nil, "what travels is msgpack with a hand-written codec"},
	"github.com/prometheus/client_golang/prometheus/promauto": {nil, "it registers globally; several nodes share a test process"},
}

// familyOf is the longest prefix of path that keys has.
func familyOf[V any](keys map[string]V, path string) (string, bool) {
	for p := path; ; {
		if _, ok := keys[p]; ok {
			return p, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return "", false
		}
		p = p[:i]
	}
}

// judgeImports is the rule: findings say what is wrong and why there is a rule.
func judgeImports(pkgs map[string]*pkg) (findings []string) {
	for _, p := range pkgs {
		family, known := familyOf(families, p.path)
		if !known {
			findings = append(findings, fmt.Sprintf("%s has no level: give it one in internal/archtest, so that it is decided who may import it", p.path))
			continue
		}
		for to, files := range p.imports {
			at := files[0]
			if home, ok := familyOf(homes, to); ok && !slices.Contains(homes[home].allowed, family) {
				findings = append(findings, fmt.Sprintf("%s imports %s: it belongs to %v only, because %s", at, to, homes[home].allowed, homes[home].why))
			}
			target, ours := strings.CutPrefix(to, module+"/")
			if !ours {
				continue
			}
			other, ok := familyOf(families, target)
			switch {
			case !ok || other == family:
			case families[other] >= families[family]:
				findings = append(findings, fmt.Sprintf("%s imports %s: imports point down (level %d to %d). Declare a 1-4 method interface where it is needed and let internal/node join the two",
					at, to, families[family], families[other]))
			default:
				if rule, narrow := only[family]; narrow && !slices.Contains(rule.allowed, other) {
					findings = append(findings, fmt.Sprintf("%s imports %s: %s may import %v of ours only, because %s", at, to, family, rule.allowed, rule.why))
				}
			}
		}
	}
	return findings
}

func TestImportsPointDown(t *testing.T) {
	pkgs := parse(t, root)
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages found", len(pkgs))
	}
	report(t, judgeImports(pkgs))
}

func TestImportRulesBite(t *testing.T) {
	dir := write(t, map[string]string{
		"internal/shard/a.go":        "package shard\nimport _ \"gamed/internal/node\"\n",
		"internal/player/a.go":       "package player\nimport _ \"gamed/internal/room\"\nimport _ \"gamed/internal/shard\"\n",
		"internal/player/a_test.go":  "package player\nimport _ \"gamed/internal/node\"\n",
		"internal/cluster/a.go":      "package cluster\nimport _ \"gamed/internal/cluster/mesh\"\nimport _ \"github.com/hashicorp/memberlist\"\n",
		"internal/cluster/mesh/a.go": "package mesh\nimport _ \"gamed/internal/shard\"\n",
		"internal/node/a.go":         "package node\nimport _ \"github.com/hashicorp/memberlist\"\n",
		"games/chat/a.go":            "package chat\nimport _ \"gamed/client\"\n",
		"client/a.go":                "package client\nimport _ \"gamed/internal/config\"\n",
		"attic/a.go":                 "package attic\n",
	})
	want(t, judgeImports(parse(t, dir)),
		"attic has no level",
		"client/a.go imports gamed/internal/config: client may import",
		"games/chat/a.go imports gamed/client: imports point down",
		"internal/node/a.go imports github.com/hashicorp/memberlist: it belongs to",
		"internal/player/a.go imports gamed/internal/room: imports point down",
		"internal/shard/a.go imports gamed/internal/node: imports point down",
	)
}

// judgeComments: each package has one package comment, which begins as godoc wants it.
func judgeComments(pkgs map[string]*pkg) (findings []string) {
	for _, p := range pkgs {
		switch {
		case p.name == "": // tests only
		case len(p.doc) == 0:
			findings = append(findings, p.path+" has no package comment: say what it is, its promises, what blocks")
		case len(p.doc) > 1:
			slices.Sort(p.doc)
			findings = append(findings, fmt.Sprintf("%s has %d package comments (%s): godoc joins them in no order one would want", p.path, len(p.doc), strings.Join(p.doc, ", ")))
		}
	}
	return findings
}

func TestPackageComments(t *testing.T) { report(t, judgeComments(parse(t, root))) }

func TestPackageCommentRuleBites(t *testing.T) {
	dir := write(t, map[string]string{
		"none/a.go": "package none\n",
		"two/a.go":  "// Package two is.\npackage two\n", "two/b.go": "// Package two is more.\npackage two\n",
		"one/a.go": "// Package one is.\npackage one\n", "one/b.go": "package one\n",
		"tests/a_test.go": "package tests\n",
	})
	want(t, judgeComments(parse(t, dir)), "none has no package comment", "two has 2 package comments (two/a.go, two/b.go)")
}
