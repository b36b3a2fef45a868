package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// OperatorRoles are what bearers of an admin token may be, each may do what those before it may: look; act on players, rooms and nodes;
// profile and change the node itself.
var OperatorRoles = []string{"viewer", "operator", "admin"}

// Operator is the bearer of an admin token. The token is known by its hash only.
type Operator struct {
	Name string
	Role string
	hash [sha256.Size]byte
}

const (
	maxOperators = 256
	minToken     = 16 // characters
	hashPrefix   = "sha256:"
)

// NewOperatorToken is a random token.
func NewOperatorToken() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// OperatorLine is the line of a server's file for a token: the token itself cannot be got from it.
func OperatorLine(role, name, token string) string {
	sum := sha256.Sum256([]byte(token))
	return role + " " + name + " " + hashPrefix + hex.EncodeToString(sum[:])
}

// ParseOperators reads the tokens that the admin port takes, a line each: ROLE NAME TOKEN, the token as it is or as sha256:HEX. A
// file of one token and nothing else is that of an admin.
func ParseOperators(text string) ([]Operator, error) {
	list := lines(text)
	if len(list) == 0 {
		return nil, errors.New("no admin token: gamed certs admin-token makes one")
	}
	if len(list) > maxOperators {
		return nil, fmt.Errorf("more than %d admin tokens", maxOperators)
	}
	var out []Operator
	for i, line := range list {
		f := strings.Fields(line)
		if len(f) == 1 && len(list) == 1 {
			f = []string{"admin", "admin", f[0]}
		}
		if len(f) != 3 || !slices.Contains(OperatorRoles, f[0]) {
			return nil, fmt.Errorf("admin token %d: want ROLE NAME TOKEN, the role one of %s", i+1, strings.Join(OperatorRoles, ", "))
		}
		o := Operator{Name: f[1], Role: f[0]}
		if digest, hashed := strings.CutPrefix(f[2], hashPrefix); hashed {
			b, err := hex.DecodeString(digest)
			if err != nil || len(b) != sha256.Size {
				return nil, fmt.Errorf("admin token %d: want sha256: and 64 hexadecimal digits", i+1)
			}
			o.hash = [sha256.Size]byte(b)
		} else if len(f[2]) < minToken {
			return nil, fmt.Errorf("admin token %d: want at least %d characters", i+1, minToken)
		} else {
			o.hash = sha256.Sum256([]byte(f[2]))
		}
		if slices.ContainsFunc(out, func(p Operator) bool { return p.hash == o.hash }) {
			return nil, fmt.Errorf("admin token %d stands there twice", i+1)
		}
		out = append(out, o)
	}
	return out, nil
}

// WhoIs finds the bearer of a token. What it compares are hashes: the time it takes tells nothing of a token.
func WhoIs(all []Operator, token string) (Operator, bool) {
	sum := sha256.Sum256([]byte(token))
	for _, o := range all {
		if o.hash == sum {
			return o, true
		}
	}
	return Operator{}, false
}
