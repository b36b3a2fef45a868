//go:build !unix

package mesh

import "net"

// direct is not available on this system: the lane's goroutine writes.
type direct struct{}

func newDirect(net.Conn) *direct { return nil }

func (*direct) write([]byte) (int, error) { return 0, nil }
