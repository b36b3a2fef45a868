//go:build amd64 || arm64

package listener

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// loop owns many connections with one goroutine. It has an epoll descriptor of its own, edge-triggered, which Go's poller
// waits for: so no thread blocks in it, and a connection costs neither goroutine nor poller entry nor buffer. A round takes one
// read from each connection that has something; who may have more comes again in the next round, after the others.
type loop struct {
	srv  *Server
	no   int // in Server.loops
	ep   int
	bell int // an eventfd in ep: rings for pokes while the loop is parked
	file *os.File
	raw  syscall.RawConn

	// Only the loop's goroutine.
	buf    []byte
	events []syscall.EpollEvent
	round  []ready
	again  []*Conn // filled the buffer in this round

	mu       sync.Mutex // guards the fields below
	slots    []*Conn    // by wire.slot
	free     []int32
	poked    []*Conn
	parked   bool // the loop waits, or is about to
	stopping bool
}

// ready is a connection that a round is for, and what epoll said of it.
type ready struct {
	c      *Conn
	events uint32
}

// wire is a connection's place in a loop: its transport is (*polled)(c).
type wire struct {
	fd      int32
	slot    int32
	loop    uint16 // which of Server.loops
	hungUp  bool   // only the loop's: the peer's end was seen
	gone    bool   // only the loop's: the connection is closed or somebody else's
	isAgain bool   // only the loop's: in loop.again
	isPoked bool   // guarded by loop.mu: in loop.poked
}

const (
	edges      = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall declares negative
	hangups    = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	roundSize  = 32 // few enough that their sockets are still in the cache when the answers are written
	bellSlot   = -1
	pollPause  = 10 * time.Millisecond
	eventfdOpt = syscall.O_NONBLOCK | syscall.O_CLOEXEC
)

// loopsByDefault leaves half of the processors to the workers.
func loopsByDefault() int { return (runtime.GOMAXPROCS(0) + 1) / 2 }

func newLoop(s *Server, no int) (*loop, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = syscall.SetNonblock(ep, true) // or os.NewFile would not give it to the poller
	l := &loop{srv: s, no: no, ep: ep, bell: -1, file: os.NewFile(uintptr(ep), "epoll"), buf: make([]byte, readBuffer), events: make([]syscall.EpollEvent, roundSize)}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, l.fail(err)
	}
	if err := l.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, l.fail(err) // the poller did not take it
	}
	bell, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, eventfdOpt, 0)
	if errno != 0 {
		return nil, l.fail(os.NewSyscallError("eventfd2", errno))
	}
	l.bell = int(bell)
	ev := syscall.EpollEvent{Events: edges, Fd: bellSlot}
	if err := syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, l.bell, &ev); err != nil {
		return nil, l.fail(os.NewSyscallError("epoll_ctl", err))
	}
	return l, nil
}

func (l *loop) fail(err error) error {
	l.release()
	return fmt.Errorf("listener: make a poll loop: %w", err)
}

func (l *loop) release() {
	if l.bell >= 0 {
		_ = syscall.Close(l.bell)
	}
	_ = l.file.Close()
}

// run ends after stop, when all connections are closed.
func (l *loop) run() {
	defer l.release()
	for over := false; !over; {
		if err := l.raw.Read(func(uintptr) bool { over = l.work(); return over }); err != nil {
			l.srv.log.Error("the poll loop cannot wait", "err", err)
			time.Sleep(pollPause)
		}
	}
}

// work does rounds until there is nothing to do. It says whether that is for good.
func (l *loop) work() bool {
	for {
		n := epollWait(l.ep, l.events)
		over, idle := l.gather(l.events[:n])
		if idle {
			return over
		}
		for _, r := range l.round {
			l.turn(r.c, r.events)
		}
		clear(l.round)
		runtime.Gosched() // what was handed over goes first
	}
}

// gather makes the next round: who epoll names, who was poked, who may have more to read. Without any the loop counts as
// parked from then on.
func (l *loop) gather(events []syscall.EpollEvent) (over, idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round = l.round[:0]
	for _, e := range events {
		if e.Fd == bellSlot || int(e.Fd) >= len(l.slots) {
			continue
		}
		if c := l.slots[e.Fd]; c != nil && int32(c.id) == e.Pad { // else of a socket that is closed
			l.round = append(l.round, ready{c, e.Events})
		}
	}
	for _, c := range l.again {
		c.isAgain = false
		l.round = append(l.round, ready{c, syscall.EPOLLIN})
	}
	clear(l.again)
	l.again = l.again[:0]
	for _, c := range l.poked {
		c.isPoked = false
		l.round = append(l.round, ready{c, syscall.EPOLLIN})
	}
	clear(l.poked)
	l.poked = l.poked[:0]
	idle = len(l.round) == 0 && len(events) < roundSize
	l.parked = idle
	return l.stopping && len(l.free) == len(l.slots), idle
}

// turn is one connection's part of a round.
func (l *loop) turn(c *Conn, events uint32) {
	if c.gone {
		return
	}
	c.hungUp = c.hungUp || events&hangups != 0 // then the end must be read as well: no edge comes for it
	if c.blocked.Load() && events&(syscall.EPOLLOUT|hangups) != 0 {
		c.drain()
	}
	if events&(syscall.EPOLLIN|hangups) == 0 {
		return
	}
	switch c.step(l.buf, c.hungUp) {
	case turnAgain:
		if !c.isAgain {
			c.isAgain = true
			l.again = append(l.again, c)
		}
	case turnUpgrade:
		l.forget(c)
		c.leaveLoop()
	case turnOver:
		l.forget(c)
		l.srv.leave(c)
	}
}

// take makes the loop the owner of a connection with this descriptor. It may be called from any goroutine.
func (l *loop) take(c *Conn, fd int) {
	c.wire = wire{loop: uint16(l.no), fd: int32(fd)}
	c.t = (*polled)(c)
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
		l.slots[c.slot] = c
	} else {
		c.slot = int32(len(l.slots))
		l.slots = append(l.slots, c)
	}
	l.mu.Unlock()
}

// watch has the kernel tell the loop of a connection that it took.
func (l *loop) watch(c *Conn) {
	if err := (*polled)(c).control(syscall.EPOLL_CTL_ADD, edges); err != nil {
		l.srv.log.Error("cannot watch a connection", "conn", c.id, "err", err)
		c.abandon(ReasonReset)
	}
}

// forget gives up a connection's place. Only the loop calls it, so that no place has a new tenant within a round.
func (l *loop) forget(c *Conn) {
	c.gone = true
	l.mu.Lock()
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
	l.mu.Unlock()
}

// stop ends the loop once its connections are closed.
func (l *loop) stop() {
	l.mu.Lock()
	l.stopping = true
	l.ring()
	l.mu.Unlock()
}

// ring wakes the loop if it is parked. l.mu is held.
func (l *loop) ring() {
	if !l.parked {
		return
	}
	l.parked = false
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.bell), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one)) // edges need no reading
}

// leaveLoop goes on with TLS in a goroutine, over the standard library.
func (c *Conn) leaveLoop() {
	_ = (*polled)(c).control(syscall.EPOLL_CTL_DEL, 0)
	s, err := newSocket(c, os.NewFile(uintptr(c.fd), "player"))
	if err != nil { // it has just been made
		c.srv.log.Error("cannot begin TLS", "conn", c.id, "err", err)
	}
	c.mu.Lock()
	c.t = s
	c.mu.Unlock()
	go s.serve(turnUpgrade)
}

// polled is the transport of a connection in a loop.
type polled Conn

func (p *polled) read(b []byte) (int, error)  { return readFD(int(p.fd), b) }
func (p *polled) write(b []byte) (int, error) { return writeFD(int(p.fd), b) }
func (p *polled) halfClose()                  { _ = syscall.Shutdown(int(p.fd), syscall.SHUT_WR) }
func (p *polled) close()                      { _ = syscall.Close(int(p.fd)) }

// awaitWritable asks for the edge anew, so that none is lost that came just before.
func (p *polled) awaitWritable() { _ = p.control(syscall.EPOLL_CTL_MOD, edges|syscall.EPOLLOUT) }

func (p *polled) owner() *loop { return p.srv.loops[p.loop] }

func (p *polled) control(op int, events uint32) error {
	ev := syscall.EpollEvent{Events: events, Fd: p.slot, Pad: int32(p.id)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.owner().ep, op, int(p.fd), &ev))
}

func (p *polled) poke() {
	l := p.owner()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.isPoked {
		p.isPoked = true
		l.poked = append(l.poked, (*Conn)(p))
		l.ring()
	}
}

// The calls below never block, so the scheduler need not know of them.

func epollWait(ep int, events []syscall.EpollEvent) int {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n)
		case syscall.EINTR:
		default:
			return 0
		}
	}
}

func read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	return int(n), errno
}

func write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
