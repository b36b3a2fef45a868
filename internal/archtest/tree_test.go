package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the import path of the tree's root.
const module = "gamed"

// root is where the tree is, seen from this package.
const root = "../.."

// pkg is one package as its source tells it. Its path is relative to the module ("internal/shard").
type pkg struct {
	path    string
	name    string
	doc     []string            // files that hold a package comment
	imports map[string][]string // import path → files, tests apart
	symbols map[string]bool     // "Symbol", "Type.Method", "Type.Field"
	tests   map[string]bool     // test, benchmark, fuzz and example functions
}

// parse reads all packages below dir. Folders named testdata and hidden ones are skipped.
func parse(t *testing.T, dir string) map[string]*pkg {
	t.Helper()
	pkgs := map[string]*pkg{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && file != dir && (base == "testdata" || base[0] == '.' || base[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		at := path.Dir(filepath.ToSlash(rel))
		p := pkgs[at]
		if p == nil {
			p = &pkg{path: at, imports: map[string][]string{}, symbols: map[string]bool{}, tests: map[string]bool{}}
			pkgs[at] = p
		}
		p.add(filepath.ToSlash(rel), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

func (p *pkg) add(file string, f *ast.File) {
	test := strings.HasSuffix(file, "_test.go")
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && test && fn.Recv == nil {
			p.tests[fn.Name.Name] = true
		}
		if !test {
			p.declare(d)
		}
	}
	if test {
		return
	}
	p.name = f.Name.Name
	if f.Doc != nil {
		p.doc = append(p.doc, file)
	}
	for _, i := range f.Imports {
		if to, err := strconv.Unquote(i.Path.Value); err == nil {
			p.imports[to] = append(p.imports[to], file)
		}
	}
}

func (p *pkg) declare(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = receiver(d.Recv.List[0].Type) + "." + name
		}
		p.symbols[name] = true
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					p.symbols[n.Name] = true
				}
			case *ast.TypeSpec:
				p.symbols[s.Name.Name] = true
				p.members(s.Name.Name, s.Type)
			}
		}
	}
}

// members adds a struct's fields and an interface's methods.
func (p *pkg) members(of string, typ ast.Expr) {
	var list *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			p.symbols[of+"."+n.Name] = true
		}
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// write makes a tree of files below a temporary folder, for the tests of the rules themselves.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// report fails the test with each finding.
func report(t *testing.T, findings []string) {
	t.Helper()
	slices.Sort(findings)
	for _, f := range findings {
		t.Error(f)
	}
}

// want compares findings by a part of each, in order.
func want(t *testing.T, findings []string, parts ...string) {
	t.Helper()
	slices.Sort(findings)
	if len(findings) != len(parts) {
		t.Fatalf("%d findings, want %d: %q", len(findings), len(parts), findings)
	}
	for i, part := range parts {
		if !strings.Contains(findings[i], part) {
			t.Errorf("finding %q, want %q in it", findings[i], part)
		}
	}
}
