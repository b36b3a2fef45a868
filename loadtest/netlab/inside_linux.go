package netlab

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialInside connects from the namespace in the file named. A socket belongs to the namespace of the thread that made it, so the
// goroutine has a thread to itself until the thread is back where it was. A thread that cannot go back is given up with its goroutine.
func dialInside(ctx context.Context, file, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		conn, home, err := dialFrom(ctx, file, address)
		if home {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done // Dial ends by ctx
	return r.conn, r.err
}

func dialFrom(ctx context.Context, file, address string) (conn net.Conn, home bool, err error) {
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, true, err
	}
	defer back.Close()
	there, err := os.Open(file)
	if err != nil {
		return nil, true, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, true, fmt.Errorf("enter %s: %w", file, err)
	}
	conn, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp4", address)
	return conn, unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil, err
}
