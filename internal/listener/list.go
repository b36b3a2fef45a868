package listener

// A connection stands in up to three lists at a time, linked through itself, so that being in one costs no allocation.
type membership uint8

const (
	inAll   membership = iota // every open connection
	inEarly                   // those whose HELLO is not complete, oldest first
	inWheel                   // one slot of the clock's wheel
	memberships
)

type links struct{ prev, next *Conn }

// list is a first-in first-out list of connections. Its owner locks it.
type list struct {
	kind       membership
	head, tail *Conn
	n          int
}

// add puts c at the end; c must not be in a list of this kind.
func (l *list) add(c *Conn) {
	k := &c.links[l.kind]
	k.prev, k.next = l.tail, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.links[l.kind].next = c
	}
	l.tail = c
	l.n++
}

// has says whether c is in the list; c must not be in another one of this kind.
func (l *list) has(c *Conn) bool { return l.head == c || c.links[l.kind].prev != nil }

// remove takes c out; c must be in this very list.
func (l *list) remove(c *Conn) {
	k := &c.links[l.kind]
	if k.prev == nil {
		l.head = k.next
	} else {
		k.prev.links[l.kind].next = k.next
	}
	if k.next == nil {
		l.tail = k.prev
	} else {
		k.next.links[l.kind].prev = k.prev
	}
	*k = links{}
	l.n--
}
