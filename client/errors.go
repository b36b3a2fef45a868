package client

import (
	"errors"
	"fmt"
	"time"

	"gamed/protocol"
)

// What a call can fail with besides an [*Error] and its context's error.
var (
	// ErrSessionLost: the session ended with the call sent and not answered. Whether it was done is unknown.
	ErrSessionLost = errors.New("session lost, outcome of the call unknown")
	// ErrClosed: the client was closed, or the server ended it (then the cause is wrapped beside it).
	ErrClosed = errors.New("client closed")
	// ErrNotConnected: a cast found no connection. It was not sent.
	ErrNotConnected = errors.New("not connected")
	// ErrOverflow: a cast found too much waiting to be written. It was not sent.
	ErrOverflow = errors.New("too much waiting to be written")
)

// Error is an answer that is not ok.
type Error struct {
	Code     protocol.Code
	Message  string        // for people
	Retry    time.Duration // when to come back; meaningful with HasRetry
	HasRetry bool
}

func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// CodeOf is the server's code in err: of a failed call, or of the GOAWAY that ended the client.
func CodeOf(err error) (protocol.Code, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, true
	}
	if e, ok := errors.AsType[*GoawayError](err); ok {
		return e.Code, true
	}
	return "", false
}

// GoawayError is a GOAWAY: the server's last word on a connection.
type GoawayError struct {
	Code   protocol.Code
	Reason string        // for people
	Retry  time.Duration // when to come back; below 0: never
	Addrs  []string      // players' addresses of the other nodes
}

func (e *GoawayError) Error() string {
	return fmt.Sprintf("server said goaway: %s: %s", e.Code, e.Reason)
}

// Final says that coming back is useless.
func (e *GoawayError) Final() bool { return e.Retry < 0 || e.Code.Class() == protocol.ClassEnd }
