package admin

import (
	"context"
	"fmt"
)

// Role is what a bearer of a token may do. Each role may do what those below it may.
type Role uint8

// The roles.
const (
	Nobody   Role = iota // without a token that is known
	Viewer               // look
	Operator             // drain nodes, kick players, close rooms
	Admin                // take profiles
	roles
)

var roleNames = [roles]string{"nobody", "viewer", "operator", "admin"}

func (r Role) String() string {
	if r < roles {
		return roleNames[r]
	}
	return "unknown"
}

// ParseRole is the role of a name, as it stands in a file of tokens.
func ParseRole(name string) (Role, error) {
	for r := Viewer; r < roles; r++ {
		if roleNames[r] == name {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("role %q: want viewer, operator or admin", name)
}

// Bearer is whose a token is. The zero value sent none that is known.
type Bearer struct {
	Name string // for the audit log
	Role Role
}

type bearerKey struct{}

// bearer is who sent a request that was let in.
func bearer(ctx context.Context) Bearer {
	who, _ := ctx.Value(bearerKey{}).(Bearer)
	return who
}
