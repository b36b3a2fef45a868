package cluster

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallClock are the names of package time that read the wall clock, or make a Time that has no monotonic reading. Without them
// durations, deadlines and comparisons of times are monotonic, and a clock that jumps changes nothing.
var wallClock = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Date", "Parse", "ParseInLocation", "AddDate", "UTC", "Local", "In",
	"YearDay", "Weekday", "Clock", "GobDecode", "UnmarshalBinary", "UnmarshalJSON", "UnmarshalText"}

// Clocks that jump do nothing, because nothing that decides reads them. What does is named here with its reason.
func TestClockJumps(t *testing.T) {
	allowed := map[string]string{
		"cluster.go: UnixMilli": "the start, told in gossip: only who of two nodes of one name came second is read off it",
		"loop.go: Date":         "the zero of first terms: a clock that jumped back at a start of all nodes is made good by a remembered term",
	}
	allowed["loop.go: UTC"] = allowed["loop.go: Date"]
	found := map[string]bool{}
	for _, dir := range []string{".", "mesh", "agreement", "ownership", "placement"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(wallClock, s.Sel.Name) {
					found[file+": "+s.Sel.Name] = true
				}
				return true
			})
		}
	}
	for use := range found {
		if allowed[use] == "" {
			t.Errorf("%s reads the wall clock", use)
		}
	}
	for use := range allowed {
		if !found[use] {
			t.Errorf("%s is not there any more", use)
		}
	}
}
