package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

func (l *Loaded) readFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return &Error{Key: "config", Reason: fmt.Sprintf("read configuration: %v", err)}
	}
	if len(b) > maxFile {
		return &Error{Key: "config", Reason: fmt.Sprintf("%s has %d bytes: want at most %d", path, len(b), maxFile)}
	}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return &Error{Key: "config", Reason: fmt.Sprintf("%s: %s", path, firstLine(err))}
	}
	if len(file.Docs) > 1 {
		return &Error{Key: "config", Reason: path + ": has several documents: want one"}
	}
	for _, doc := range file.Docs {
		if err := l.readMap(path, doc.Body); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loaded) readMap(path string, body ast.Node) error {
	var pairs []*ast.MappingValueNode
	switch n := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode: // an empty file
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return &Error{Key: "config", Reason: path + ": want lines such as \"listen: 127.0.0.1:7300\""}
	}
	for _, p := range pairs {
		key, line := p.Key.GetToken().Value, p.Key.GetToken().Position.Line
		where := fmt.Sprintf("%s:%d", path, line)
		f, ok := Lookup(key)
		if !ok {
			return &Error{Key: "config", Reason: fmt.Sprintf("%s: unknown key %q%s", where, key, didYouMean(key, keys()))}
		}
		if l.origin[f.Key].Kind == FromFile {
			return &Error{Key: "config", Reason: fmt.Sprintf("%s: key %q stands there twice (%s)", where, key, l.origin[f.Key].Where)}
		}
		values, err := scalars(p.Value, f.List)
		if err == nil && values == nil {
			continue
		}
		if err != nil {
			return &Error{Key: "config", Reason: fmt.Sprintf("%s: %s: %v", where, key, err)}
		}
		if err := l.set(f, values, Origin{FromFile, where}); err != nil {
			return err
		}
	}
	return nil
}

// scalars are the texts of a value, nil for null.
func scalars(n ast.Node, list bool) ([]string, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.SequenceNode:
		if !list {
			return nil, errors.New("want one value, not a list")
		}
		out := []string{""}
		for _, v := range n.Values {
			s, err := scalar(v)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	default:
		s, err := scalar(n)
		return []string{s}, err
	}
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	}
	return "", fmt.Errorf("want text, a number, true or false, not %s", strings.ToLower(n.Type().YAMLName()))
}

func keys() []string {
	out := make([]string, 0, len(Fields()))
	for _, f := range Fields() {
		out = append(out, f.Key)
	}
	return out
}

// firstLine is the parser's message without the excerpt of the file that follows it.
func firstLine(err error) string {
	var e yaml.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%d:%d: %s", e.GetToken().Position.Line, e.GetToken().Position.Column, e.GetMessage())
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
