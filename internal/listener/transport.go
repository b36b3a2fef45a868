package listener

import (
	"errors"
	"time"
)

// transport moves the raw bytes of one connection. Whoever runs Conn.step, its owner, calls read, halfClose and close; write
// and awaitWritable are called with Conn.mu held, poke by anybody with Conn.mu held, all of them before close.
type transport interface {
	// read takes what is there: errAgain when there is nothing now, io.EOF when the peer will send no more.
	read(b []byte) (int, error)
	// write takes as much of b as the kernel takes now. Less than all is no error.
	write(b []byte) (int, error)
	// awaitWritable has Conn.drain called soon and each time that the kernel takes more, until it returns true.
	awaitWritable()
	// poke has the owner call step soon.
	poke()
	// halfClose says that nothing more will be written.
	halfClose()
	close()
}

var (
	errAgain   = errors.New("nothing to read now")
	errStopped = errors.New("stopped")
)

// readBuffer is how much one read takes at most.
const readBuffer = 64 << 10

// turn is what an owner has to do after a step.
type turn uint8

const (
	turnWait    turn = iota // wait for the kernel or a poke
	turnAgain               // there may be more to read: go on after the others
	turnUpgrade             // begin TLS
	turnOver                // the connection is closed
)

// stage is how far the end of a connection has come. Only the owner knows it.
type stage uint8

const (
	stageOpen      stage = iota
	stageAnswering       // the client sends no more and waits for the answers to its commands (word mode)
	stageFlushing        // told to the handler; what is left and the GOAWAY are being written
	stageLingering       // all is written; the client has a moment to read it
	stageClosed
)

const (
	lingerTime  = time.Second // how long a client may take to read its GOAWAY
	lingerBytes = 64 << 10    // and what it may send meanwhile
)
