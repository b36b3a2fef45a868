package archtest

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// quoted is what stands in backticks on one line, fenced blocks apart.
	quoted = regexp.MustCompile("`([^`\n]+)`")
	// symbol is pkg.Symbol or pkg.Type.Method, with or without a call's brackets.
	symbol = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)(?:\(\))?$`)
	// testName is a test by its name.
	testName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
)

// notSymbols are endings of file names, which look like symbols.
var notSymbols = []string{"go", "md", "yml", "yaml", "json", "txt", "sh", "sum", "mod", "py", "c"}

// mentions is everything in backticks outside fenced blocks, each once.
func mentions(text string) []string {
	var out []string
	for _, m := range quoted.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		if !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

// judgeSymbols checks the Go names in a document. found counts those that exist.
func judgeSymbols(pkgs map[string]*pkg, file, text string) (found int, findings []string) {
	byName := map[string][]*pkg{}
	foreign := map[string]bool{}
	for _, p := range pkgs {
		byName[p.name] = append(byName[p.name], p)
		for to := range p.imports {
			foreign[path.Base(to)] = true
		}
	}
	for _, word := range mentions(text) {
		m := symbol.FindStringSubmatch(word)
		if m == nil || slices.Contains(notSymbols, m[2]) {
			continue
		}
		ours := byName[m[1]]
		switch {
		case slices.ContainsFunc(ours, func(p *pkg) bool { return p.symbols[m[2]] }):
			found++
		case len(ours) > 0:
			findings = append(findings, fmt.Sprintf("%s names `%s`: package %s has no %s", file, word, m[1], m[2]))
		case !foreign[m[1]]:
			findings = append(findings, fmt.Sprintf("%s names `%s`: there is no package %s", file, word, m[1]))
		}
	}
	return found, findings
}

// judgeTests checks the names of tests in a document.
func judgeTests(pkgs map[string]*pkg, file, text string) (found int, findings []string) {
	for _, word := range mentions(text) {
		if !testName.MatchString(word) {
			continue
		}
		exists := false
		for _, p := range pkgs {
			exists = exists || p.tests[word]
		}
		if exists {
			found++
		} else {
			findings = append(findings, fmt.Sprintf("%s names the test `%s`, which does not exist: a promise without proof", file, word))
		}
	}
	return found, findings
}

func TestArchitectureNamesWhatExists(t *testing.T) {
	const file = "docs/ARCHITECTURE.md"
	found, findings := judgeSymbols(parse(t, root), file, read(t, file))
	report(t, findings)
	if found < 10 {
		t.Errorf("%s names %d functions; the life of a message alone has more", file, found)
	}
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	pkgs := parse(t, root)
	found, findings := judgeTests(pkgs, "README.md", read(t, "README.md"))
	guards, more := judgeTests(pkgs, "SECURITY.md", read(t, "SECURITY.md"))
	findings = append(findings, more...)
	if found == 0 || guards == 0 {
		t.Error("README.md or SECURITY.md names no test: each promise names the one that proves it")
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range docs {
		name := "docs/" + filepath.Base(file)
		_, more := judgeTests(pkgs, name, read(t, name))
		findings = append(findings, more...)
	}
	report(t, findings)
}

func TestDocumentRulesBite(t *testing.T) {
	dir := write(t, map[string]string{
		"shard/a.go":      "package shard\nimport \"net\"\nvar _ net.Conn\ntype Router struct{ Table int }\nfunc (r *Router) Route() {}\nconst None = 1\n",
		"shard/a_test.go": "package shard\nimport \"testing\"\nfunc TestRoute(t *testing.T) {}\n",
	})
	pkgs := parse(t, dir)
	text := "`shard.Router` `shard.Router.Route()` `shard.Router.Table` `shard.None` `net.Conn` `config.go`\n```\n`shard.InAFence`\n```\n" +
		"`shard.Rooter` `shard.Router.Gone` `shrad.Router` `TestRoute` `TestGone`"
	found, findings := judgeSymbols(pkgs, "doc", text)
	if found != 4 {
		t.Errorf("%d symbols found, want 4", found)
	}
	want(t, findings, "package shard has no Rooter", "package shard has no Router.Gone", "there is no package shrad")
	found, findings = judgeTests(pkgs, "doc", text)
	if found != 1 {
		t.Errorf("%d tests found, want 1", found)
	}
	want(t, findings, "`TestGone`")
}

// judgeDecision: a decision has its four parts, so that it can be weighed again.
func judgeDecision(name, text, index string) (findings []string) {
	for _, part := range []string{"**Decision.**", "**Cost.**", "**Pay-off.**", "**Look again**"} {
		if !strings.Contains(text, part) {
			findings = append(findings, name+" lacks "+part)
		}
	}
	if !strings.HasPrefix(text, "# "+name[:4]+" ") {
		findings = append(findings, name+" does not begin with its number and title")
	}
	if !strings.Contains(index, "("+name+")") {
		findings = append(findings, name+" is not in docs/adr/README.md")
	}
	return findings
}

func TestDecisionsAreComplete(t *testing.T) {
	index := read(t, "docs/adr/README.md")
	entries, err := os.ReadDir(filepath.Join(root, "docs/adr"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "README.md" {
			report(t, judgeDecision(e.Name(), read(t, "docs/adr/"+e.Name()), index))
		}
	}
	want(t, judgeDecision("0001-a.md", "# 0002 A\n**Decision.** **Cost.** **Pay-off.**", ""),
		"does not begin", "is not in", "lacks **Look again**")
}
