//go:build !linux

package netlab

import (
	"context"
	"errors"
	"net"
)

func dialInside(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("network namespaces need Linux")
}
