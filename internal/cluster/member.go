package cluster

import (
	"cmp"
	"slices"
	"time"

	"gamed/internal/cluster/mesh"
	"gamed/internal/shard"
)

// Member is a node as this one sees it.
type Member struct {
	Node    shard.NodeID
	State   string // alive, suspect, draining or dead
	Addr    string // for players
	Mesh    string
	Gossip  string
	Admin   string
	Version string
	RTT     time.Duration // over the mesh; 0 when not known
	Since   time.Time     // when it came to its state
}

// state of a member. Its names are those of the admin API.
type state uint8

const (
	stateAlive    state = iota // its link works
	stateSuspect               // gossip says alive, but its link does not work
	stateDraining              // its link works, and it wants to own nothing
	stateDead
	states
)

var stateNames = [states]string{stateAlive: "alive", stateSuspect: "suspect", stateDraining: "draining", stateDead: "dead"}

func (s state) String() string { return stateNames[s] }

// member is one life of another node. The loop owns it.
type member struct {
	id       shard.NodeID
	meta     meta
	known    bool   // meta is there: the link may be earlier
	addr     string // of its gossip
	gossip   bool   // alive, as gossip says
	linked   bool
	left     bool
	draining bool
	unfit    string    // why it can never be a member
	silent   bool      // of this node's name: it does not answer pings
	pinging  bool      // and is being asked
	pinged   time.Time // when it was
	turned   time.Time // when its link, or gossip's word on it, last changed
	state    state
	since    time.Time
}

const (
	deadKeep  = 24 * time.Hour   // dead members stay listed
	deadMax   = 256              // so many of them at most
	redialFor = 30 * time.Second // the mesh goes on to dial a node so long after it died
	pickHold  = 2 * time.Second  // how long one life of a name is dialed before another one is tried
	relook    = 2 * time.Second  // a member that gossip knows but whose link is down is contacted anew after this
)

// judge gives the state that follows from what is known.
func (l *loop) judge(m *member) state {
	switch {
	case m.linked && m.draining:
		return stateDraining
	case m.linked:
		return stateAlive
	case m.gossip && !m.left && !l.superseded(m):
		return stateSuspect
	}
	return stateDead
}

// wanted is whom the mesh should be linked to: of each name one life, the linked one or the one that started last.
func (l *loop) wanted(now time.Time) []mesh.Peer {
	if l.held(now) {
		return nil
	}
	names := map[string][]*member{}
	for _, m := range l.members {
		if m.id.Name != l.self.Name && m.unfit == "" && !m.left && (m.linked || m.known && (m.gossip || now.Sub(m.turned) < redialFor)) {
			names[m.id.Name] = append(names[m.id.Name], m)
		}
	}
	var peers []mesh.Peer
	for name, lives := range names {
		m := l.pick(name, lives, now)
		l.picked[name] = m.id
		if m.known {
			peers = append(peers, mesh.Peer{ID: m.id, Addr: m.meta.Mesh})
		}
	}
	for name := range l.picked {
		if names[name] == nil {
			delete(l.picked, name)
		}
	}
	slices.SortFunc(peers, func(a, b mesh.Peer) int { return cmp.Compare(a.ID.Name, b.ID.Name) })
	return peers
}

// pick chooses among the lives of one name. The mesh never goes back to a life that it gave up, so the choice is not changed
// while the chosen one may still come up.
func (l *loop) pick(name string, lives []*member, now time.Time) *member {
	slices.SortFunc(lives, func(a, b *member) int {
		return cmp.Or(order(b.linked, a.linked), order(b.gossip, a.gossip), cmp.Compare(b.meta.Started, a.meta.Started), cmp.Compare(a.id.Boot, b.id.Boot))
	})
	best := lives[0]
	if best.linked {
		return best
	}
	for _, m := range lives {
		if m.id == l.picked[name] && m.gossip && now.Sub(m.turned) < pickHold {
			return m
		}
	}
	return best
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// superseded says whether another life of the member's name is linked, or is this node.
func (l *loop) superseded(m *member) bool {
	if m.id.Name == l.self.Name {
		return true
	}
	for _, o := range l.members {
		if o != m && o.id.Name == m.id.Name && o.linked {
			return true
		}
	}
	return false
}

// search is what the loop of the seeds works from.
func (l *loop) search(now time.Time) *seedView {
	v := &seedView{alive: map[string]bool{}, alone: true}
	for _, m := range l.members {
		if m.gossip && m.unfit == "" {
			v.alone = false
		}
		switch {
		case m.addr == "":
		case m.unfit != "" && m.gossip, m.gossip && (m.linked || now.Sub(m.turned) < relook):
			v.alive[m.addr] = true
		case m.unfit == "" && !m.left && !l.superseded(m):
			v.lost = append(v.lost, m.addr)
		}
	}
	slices.Sort(v.lost)
	return v
}

// forgetDead drops those who are dead for long, and the oldest when there are too many.
func (l *loop) forgetDead(now time.Time) {
	var dead []*member
	for id, m := range l.members {
		if m.state != stateDead {
			continue
		}
		if now.Sub(m.since) > deadKeep {
			delete(l.members, id)
			continue
		}
		dead = append(dead, m)
	}
	if len(dead) <= deadMax {
		return
	}
	slices.SortFunc(dead, func(a, b *member) int { return a.since.Compare(b.since) })
	for _, m := range dead[:len(dead)-deadMax] {
		delete(l.members, m.id)
	}
}
