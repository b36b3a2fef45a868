package mesh

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// Mesh holds the links of one node. Its methods may be called from any goroutine.
type Mesh struct {
	opt     Options
	log     *slog.Logger
	metrics *metrics
	started time.Time
	ctx     context.Context // ends when Run's does, or when Run returns
	stop    context.CancelFunc
	greets  chan struct{}                    // one token per connection in its hello
	links   atomic.Pointer[map[NodeID]*link] // those that are up; replaced, never changed
	told    told
	seq     atomic.Uint64 // of dials
	tasks   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	running bool
	stopped bool
	peers   map[string]*peer // by name
	cuts    map[string]bool  // by name
}

// peer is what the mesh knows of a name. Mesh.mu guards it.
type peer struct {
	name       string
	id         NodeID // whom to dial, if wanted
	addr       string
	wanted     bool
	stopDial   context.CancelFunc // nil: no dial loop
	kick       chan struct{}      // wakes the dial loop
	current    *link              // dialing, half or up; nil: none
	tail       <-chan struct{}    // closed when the newest link has ended for good
	seen       uint64             // the largest seq of seenOf's dials that was taken
	seenOf     NodeID
	dialErr    string // of the last attempt, "" after a success
	dialRefuse bool   // that it was refused by the host: nobody listens there
	metrics    *peerMetrics
}

// Peer is a node that the mesh should be linked to.
type Peer struct {
	ID   NodeID
	Addr string // host:port of its mesh port
}

// PeerState is a peer as Peers shows it.
type PeerState struct {
	ID          NodeID
	Addr        string // "" for a peer that came by itself and is not wanted
	Up          bool
	RTT         time.Duration // of the control lane's last heartbeat, 0 before the first
	Since       time.Time     // since when it is up
	Wire        uint16        // the wire version spoken with it
	QueuedBytes int           // on both lanes
	DialError   string        // of the last attempt, while the link is down
	PortRefused bool          // that attempt reached the host, where nobody listens
}

// New makes a mesh. It takes nothing before Run.
func New(opt Options) (*Mesh, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	opt.defaults()
	m := &Mesh{opt: opt, log: opt.Log, started: time.Now(), greets: make(chan struct{}, maxGreets),
		peers: map[string]*peer{}, cuts: map[string]bool{}}
	m.links.Store(&map[NodeID]*link{})
	m.ctx, m.stop = context.WithCancel(context.Background())
	var err error
	if m.metrics, err = newMetrics(opt.Registerer); err != nil {
		return nil, err
	}
	return m, nil
}

// Run keeps the mesh until ctx ends: nil, or the listener fails for good. It closes the listener, all links end with it, and
// all callbacks are over when it returns. Call it once.
func (m *Mesh) Run(ctx context.Context) error {
	release := context.AfterFunc(ctx, m.stop)
	defer release()
	defer m.stop()
	unlisten := context.AfterFunc(m.ctx, func() { _ = m.opt.Listen.Close() })
	defer unlisten()

	m.mu.Lock()
	m.running = true
	for _, p := range m.peers {
		m.startDial(p)
	}
	m.mu.Unlock()

	err := m.accept()
	m.stop()
	_ = m.opt.Listen.Close()
	m.mu.Lock()
	m.stopped = true
	var open []*link
	for _, p := range m.peers {
		if p.current != nil {
			open = append(open, p.current)
		}
	}
	m.mu.Unlock()
	for _, l := range open {
		l.close(ClosedStopped, nil)
	}
	m.tasks.Wait()
	return err
}

// spawn runs f in a goroutine that Run waits for; false when the mesh goes down. Mesh.mu must be held.
func (m *Mesh) spawn(f func()) bool {
	if m.stopped {
		return false
	}
	m.tasks.Go(f)
	return true
}

// SetPeers says whom the mesh should be linked to, all of them: links to peers that were wanted before and no longer are end.
// A wanted name with another boot than before replaces the old one at once. Links that other nodes opened to this one live on
// although nobody wanted them.
func (m *Mesh) SetPeers(want []Peer) {
	var ended []*link
	m.mu.Lock()
	named := make(map[string]bool, len(want))
	for _, w := range want {
		if w.ID.Name == m.opt.Self.Name || !protocol.ValidPlayer(w.ID.Name) || named[w.ID.Name] {
			continue
		}
		named[w.ID.Name] = true
		p := m.peer(w.ID.Name)
		if l := p.current; l != nil && p.wanted && p.id != w.ID && l.id == p.id {
			ended = append(ended, l)
		}
		if p.id != w.ID || p.addr != w.Addr {
			p.wake()
		}
		p.id, p.addr, p.wanted = w.ID, w.Addr, true
		m.startDial(p)
	}
	var unwanted []*link
	for _, p := range m.peers {
		if !p.wanted || named[p.name] {
			continue
		}
		p.wanted = false
		if p.stopDial != nil {
			p.stopDial()
			p.stopDial = nil
		}
		if p.current != nil {
			unwanted = append(unwanted, p.current)
		}
		m.forget(p)
	}
	m.mu.Unlock()
	for _, l := range ended {
		l.close(ClosedReplaced, nil)
	}
	for _, l := range unwanted {
		l.close(ClosedUnwanted, nil)
	}
}

// Send queues a copy of e on the data lane of the link to a peer. It does not block; ErrBusy, ErrNoLink and ErrTooLarge say
// that e was not queued.
func (m *Mesh) Send(to NodeID, e *envelope.Envelope) error { return m.send(to, Data, e, true) }

// SendControl is Send on the control lane.
func (m *Mesh) SendControl(to NodeID, e *envelope.Envelope) error {
	return m.send(to, Control, e, true)
}

// Queue is Send for a caller that has more to send: what it queued may lie until the next Send, SendControl or Flush to that
// peer. One Flush for a batch costs one write where Send might cost several.
func (m *Mesh) Queue(to NodeID, e *envelope.Envelope) error { return m.send(to, Data, e, false) }

// Flush sets under way what Queue queued, for all peers.
func (m *Mesh) Flush() {
	for _, l := range *m.links.Load() {
		l.lanes[Data].flush()
	}
}

func (m *Mesh) send(to NodeID, which Lane, e *envelope.Envelope, flush bool) error {
	l := (*m.links.Load())[to]
	if l == nil {
		m.metrics.dropped[which][DropNoLink].Inc()
		return ErrNoLink
	}
	return l.lanes[which].send(e, flush)
}

// Backlog is how many bytes wait on the data lane to a peer; false: there is no link.
func (m *Mesh) Backlog(to NodeID) (bytes int, up bool) {
	l := (*m.links.Load())[to]
	if l == nil {
		return 0, false
	}
	return l.lanes[Data].queuedBytes(), true
}

// Peers is every peer that is wanted or linked, by name.
func (m *Mesh) Peers() []PeerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]PeerState, 0, len(m.peers))
	for _, p := range m.peers {
		s := PeerState{ID: p.id, Addr: p.addr, DialError: p.dialErr, PortRefused: p.dialRefuse}
		if l := p.current; l != nil && l.up() {
			s.ID, s.Up, s.Since, s.Wire, s.DialError, s.PortRefused = l.id, true, l.since, l.wire, "", false
			s.RTT = time.Duration(l.lanes[Control].rtt.Load())
			s.QueuedBytes = l.lanes[Data].queuedBytes() + l.lanes[Control].queuedBytes()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b PeerState) int { return cmp.Compare(a.ID.Name, b.ID.Name) })
	return out
}

// Cut with on ends the link to a name and takes and dials none until it is called with off: for tests and demonstrations.
func (m *Mesh) Cut(name string, on bool) {
	m.mu.Lock()
	var l *link
	if on {
		m.cuts[name] = true
	} else {
		delete(m.cuts, name)
	}
	if p := m.peers[name]; p != nil {
		p.wake()
		if on {
			l = p.current
		}
	}
	m.mu.Unlock()
	if l != nil {
		l.close(ClosedCut, nil)
	}
}

// now is the monotonic time since the mesh was made.
func (m *Mesh) now() time.Duration { return time.Since(m.started) }

// peer finds or makes the peer of a name. Mesh.mu must be held.
func (m *Mesh) peer(name string) *peer {
	p := m.peers[name]
	if p == nil {
		p = &peer{name: name, kick: make(chan struct{}, 1), metrics: m.metrics.peer(name)}
		m.peers[name] = p
	}
	return p
}

// forget drops a peer that is neither wanted nor linked, and its series. Mesh.mu must be held.
func (m *Mesh) forget(p *peer) {
	if p.wanted || p.current != nil || m.peers[p.name] != p {
		return
	}
	if p.tail != nil {
		select {
		case <-p.tail:
		default:
			return // its last link is still ending, and forgets it then
		}
	}
	delete(m.peers, p.name)
	m.metrics.forget(p.name)
}

func (p *peer) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}
