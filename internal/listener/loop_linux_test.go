//go:build amd64 || arm64

package listener

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

func needLoops(t *testing.T) {
	t.Helper()
	if loops < 1 {
		t.Skip("this is about the poll loop")
	}
}

// gated holds the loop up in the call of one player until the test says go, and notes who called.
type gated struct {
	echo
	at, open chan struct{}

	mu    sync.Mutex
	order []string
}

func (h *gated) Frames(c *Conn, batch []byte) {
	if c.Player() == "gate" {
		h.at <- struct{}{}
		<-h.open
	}
	h.mu.Lock()
	for len(batch) > 0 {
		h.order = append(h.order, c.Player())
		batch = batch[4+frameLen(batch):]
	}
	h.mu.Unlock()
}

// unread is how many bytes wait in the kernel for a connection to read.
func unread(c *Conn) int {
	var n int32
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, uintptr(c.fd), 0x541B /* FIONREAD */, uintptr(unsafe.Pointer(&n)))
	return int(n)
}

// A connection that has much to read gets one read a round, so that the others wait for no more than that.
func TestFloodStarvesNobody(t *testing.T) {
	plainOnly(t)
	needLoops(t)
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 200<<10) })
	}}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &gated{echo: echo{conns: map[uint64]*Conn{}, closed: map[uint64]Reason{}}, at: make(chan struct{}), open: make(chan struct{})}
	s := start(t, h, func(o *Options) { o.Addr, o.Listener, o.Loops = "", ln, 1 })
	gate, flood, small := dial(t, s), dial(t, s), dial(t, s)
	conn := map[string]*Conn{}
	for name, p := range map[string]*peer{"gate": gate, "flood": flood, "small": small} {
		p.hello(name)
	}
	h.echo.mu.Lock()
	for _, c := range h.conns {
		conn[c.Player()] = c
	}
	h.echo.mu.Unlock()

	gate.send(call(1, "hold the loop up"))
	<-h.at
	frame := call(1, strings.Repeat("x", 1000))
	const much = 150
	flood.send([]byte(strings.Repeat(string(frame), much)))
	await(t, "the flood is there", func() bool { return unread(conn["flood"]) == much*len(frame) })
	small.send(call(1, "me too"))
	await(t, "the small one is there", func() bool { return unread(conn["small"]) > 0 })
	close(h.open)
	await(t, "all calls were handled", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.order) == much+2 })
	at := 0
	for h.order[at] != "small" {
		at++
	}
	if most := 1 + readBuffer/len(frame); at > most {
		t.Fatalf("%d calls went before it, one read has at most %d", at, most)
	}
	if h.order[len(h.order)-1] != "flood" {
		t.Fatalf("order %v: the test floods too little", h.order)
	}
}

// Without a free descriptor accepting pauses, and goes on when there is one.
func TestNoFreeDescriptor(t *testing.T) {
	needLoops(t)
	s := start(t, newEcho(), nil)
	dial(t, s).hello("ann")
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0) // the client's; the highest number yet
	if err != nil {
		t.Fatal(err)
	}
	var fill []*os.File
	t.Cleanup(func() {
		for _, f := range fill {
			_ = f.Close()
		}
	})
	limit := old
	limit.Cur = uint64(fd + 1)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for { // use up what is free below the limit
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	to := s.Addr().(*net.TCPAddr)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	await(t, "accept fails", func() bool { return value(t, s.m.acceptErrs) >= 2 })
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "client")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	wrap(t, conn).hello("bob")
}

// A place in a loop that has a new tenant gets nothing that was meant for the old one.
func TestEventsOfAnOldTenant(t *testing.T) {
	needLoops(t)
	h := newEcho()
	s := start(t, h, func(o *Options) { o.Loops = 1 })
	dial(t, s).hello("ann")
	c := h.only(t)
	probe := &loop{srv: s, slots: []*Conn{c}}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: 0, Pad: int32(c.id)}
	if probe.gather([]syscall.EpollEvent{event}); len(probe.round) != 1 {
		t.Fatal("its own event was not taken")
	}
	event.Pad--
	if _, idle := probe.gather([]syscall.EpollEvent{event, {Fd: 7}, {Fd: bellSlot}}); len(probe.round) != 0 || !idle {
		t.Fatal("an event of another connection was taken")
	}
}

// The listener's memory of an idle connection is one small object, and a message touches the front of it.
func TestConnIsSmall(t *testing.T) {
	var c Conn
	if n := unsafe.Sizeof(c); n > 320 {
		t.Errorf("a Conn has %d bytes", n)
	}
	if n := unsafe.Offsetof(c.heard) + 8; n > 128 {
		t.Errorf("what every message touches spreads over %d bytes", n)
	}
}

var _ Handler = (*gated)(nil)
