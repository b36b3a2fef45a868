package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// OriginKind is the sort of source a value came from.
type OriginKind uint8

// The sources, the stronger the later.
const (
	FromDefault OriginKind = iota
	FromFile
	FromEnv
	FromFlag
)

// Origin is where a value came from.
type Origin struct {
	Kind  OriginKind
	Where string // FromFile: FILE:LINE; FromEnv: the variable; FromFlag: the flag
}

func (o Origin) String() string {
	switch o.Kind {
	case FromFile:
		return o.Where
	case FromEnv:
		return "env " + o.Where
	case FromFlag:
		return "flag " + o.Where
	default:
		return "default"
	}
}

// Input is where Load looks.
type Input struct {
	File  string              // YAML; "" for none
	Env   []string            // KEY=value, as os.Environ gives; keys without GAMED_ are ignored
	Flags map[string][]string // by key, only those given
}

// Loaded is a configuration and where each of its values came from.
type Loaded struct {
	Config
	origin map[string]Origin
}

// Origin is where the value of key came from.
func (l *Loaded) Origin(key string) Origin { return l.origin[key] }

// Load reads all sources and validates the result. Its errors are of type *Error, or about a file that cannot be read.
//
// A variable GAMED_X that resembles a known one is taken for a misspelling and is an error; others that are not known are
// ignored, because container platforms set variables such as GAMED_SERVICE_HOST on their own.
func Load(in Input) (*Loaded, error) {
	l := &Loaded{Config: Default(), origin: map[string]Origin{}}
	if in.File != "" {
		if err := l.readFile(in.File); err != nil {
			return nil, err
		}
	}
	if err := l.readEnv(in.Env); err != nil {
		return nil, err
	}
	for _, f := range Fields() {
		if values, ok := in.Flags[f.Key]; ok {
			if err := l.set(f, values, Origin{FromFlag, "--" + f.Key}); err != nil {
				return nil, err
			}
		}
	}
	if l.DataDir != "" && l.Origin("store").Kind == FromDefault {
		l.Store, l.origin["store"] = "bolt", l.Origin("data-dir")
	}
	if err := l.Validate(); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			e.Origin = l.Origin(e.Key)
		}
		return nil, err
	}
	return l, nil
}

func (l *Loaded) set(f Field, values []string, o Origin) error {
	if err := f.set(&l.Config, values); err != nil {
		return &Error{Key: f.Key, Origin: o, Reason: err.Error()}
	}
	l.origin[f.Key] = o
	return nil
}

// notSettings are variables that start with GAMED_ and are no settings of a node.
var notSettings = map[string]bool{"GAMED_CONFIG": true}

func (l *Loaded) readEnv(env []string) error {
	values := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "GAMED_") && !notSettings[k] {
			values[k] = v
		}
	}
	known := []string{"GAMED_CONFIG"}
	for _, f := range Fields() {
		known = append(known, f.Env)
		v, ok := values[f.Env]
		delete(values, f.Env)
		if f.EnvFile != "" {
			known = append(known, f.EnvFile)
			if path := values[f.EnvFile]; path != "" {
				if ok && v != "" {
					return &Error{Key: f.Key, Reason: fmt.Sprintf("both %s and %s are set: use one", f.Env, f.EnvFile)}
				}
				secret, err := ReadSecret(path)
				if err != nil {
					return &Error{Key: f.Key, Origin: Origin{FromEnv, f.EnvFile}, Reason: err.Error()}
				}
				if err := l.set(f, []string{secret}, Origin{FromEnv, f.EnvFile}); err != nil {
					return err
				}
			}
			delete(values, f.EnvFile)
		}
		if v == "" { // compose files pass unset variables on as empty ones
			continue
		}
		if err := l.set(f, []string{v}, Origin{FromEnv, f.Env}); err != nil {
			return err
		}
	}
	for k := range values {
		for _, name := range known {
			if distance(k, name) <= 2 {
				return &Error{Reason: fmt.Sprintf("environment variable %s is not known: did you mean %s?", k, name)}
			}
		}
	}
	return nil
}

// ReadSecret reads a secret from a file; a newline at its end does not belong to it. It is 1 to 4,096 bytes.
func ReadSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" || len(s) > 4096 {
		return "", fmt.Errorf("read secret: %s holds %d bytes: want 1 to 4096", path, len(s))
	}
	return s, nil
}
