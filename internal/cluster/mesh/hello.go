package mesh

import (
	"errors"
	"fmt"

	"gamed/protocol"
)

// hello is the first frame of a connection, from the dialer.
type hello struct {
	WireMin, WireMax uint16
	Cluster          string
	Config           uint64
	Node             NodeID // who dials
	Lane             Lane
	To               NodeID // whom the dialer believes to reach
	Seq              uint64 // of the dial: both lanes of a link have the same, a later dial a larger one
	Seen             uint64 // the largest Seq of the other side's dials that the dialer has taken
	State            []byte
}

const maxUint = 1<<64 - 1

func (h *hello) append(dst []byte) []byte {
	dst, at := begin(dst, frameHello)
	dst = protocol.AppendArray(dst, 13)
	dst = protocol.AppendStr(dst, magic)
	dst = protocol.AppendUint(dst, uint64(h.WireMin))
	dst = protocol.AppendUint(dst, uint64(h.WireMax))
	dst = protocol.AppendStr(dst, h.Cluster)
	dst = protocol.AppendUint(dst, h.Config)
	dst = protocol.AppendStr(dst, h.Node.Name)
	dst = protocol.AppendUint(dst, h.Node.Boot)
	dst = protocol.AppendUint(dst, uint64(h.Lane))
	dst = protocol.AppendStr(dst, h.To.Name)
	dst = protocol.AppendUint(dst, h.To.Boot)
	dst = protocol.AppendUint(dst, h.Seq)
	dst = protocol.AppendUint(dst, h.Seen)
	dst = protocol.AppendBin(dst, h.State)
	return end(dst, at)
}

func parseHello(body []byte) (*hello, error) {
	if body[0] != frameHello {
		return nil, fmt.Errorf("%w: type %d where a hello is due", errFrame, body[0])
	}
	f := openFrame(body)
	if f.text() != magic {
		return nil, fmt.Errorf("%w: not a gamed node", errFrame)
	}
	h := &hello{
		WireMin: uint16(f.uint(1<<16 - 1)), WireMax: uint16(f.uint(1<<16 - 1)),
		Cluster: f.text(), Config: f.uint(maxUint),
		Node: NodeID{Name: f.text(), Boot: f.uint(maxUint)},
		Lane: Lane(f.uint(uint64(lanes) - 1)),
		To:   NodeID{Name: f.text(), Boot: f.uint(maxUint)},
		Seq:  f.uint(maxUint), Seen: f.uint(maxUint), State: f.bytes(MaxState),
	}
	if f.bad || !protocol.ValidPlayer(h.Node.Name) || h.Node.Boot == 0 || h.Seq == 0 {
		return nil, fmt.Errorf("%w: hello", errFrame)
	}
	return h, nil
}

// welcome answers a hello that is taken.
type welcome struct {
	Node  NodeID // who answers
	Wire  uint16 // the version both speak
	State []byte
}

func (w *welcome) append(dst []byte) []byte {
	dst, at := begin(dst, frameWelcome)
	dst = protocol.AppendArray(dst, 4)
	dst = protocol.AppendStr(dst, w.Node.Name)
	dst = protocol.AppendUint(dst, w.Node.Boot)
	dst = protocol.AppendUint(dst, uint64(w.Wire))
	dst = protocol.AppendBin(dst, w.State)
	return end(dst, at)
}

// RefusedError is a refusal by the peer.
type RefusedError struct {
	Reason Refusal
	Text   string // the peer's words
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused (%s): %s", e.Reason, e.Text) }

// parseAnswer reads what a hello got: a welcome, or a *RefusedError.
func parseAnswer(body []byte) (*welcome, error) {
	f := openFrame(body)
	switch body[0] {
	case frameRefuse:
		r := &RefusedError{Reason: refusalNamed(f.text()), Text: f.text()}
		if f.bad {
			return nil, fmt.Errorf("%w: refusal", errFrame)
		}
		return nil, r
	case frameWelcome:
		w := &welcome{Node: NodeID{Name: f.text(), Boot: f.uint(maxUint)}, Wire: uint16(f.uint(1<<16 - 1)), State: f.bytes(MaxState)}
		if f.bad {
			return nil, fmt.Errorf("%w: welcome", errFrame)
		}
		return w, nil
	}
	return nil, fmt.Errorf("%w: type %d in answer to a hello", errFrame, body[0])
}

func appendRefusal(dst []byte, reason Refusal, text string) []byte {
	dst, at := begin(dst, frameRefuse)
	dst = protocol.AppendArray(dst, 2)
	dst = protocol.AppendStr(dst, reason.String())
	dst = protocol.AppendStr(dst, text[:min(len(text), maxText)])
	return end(dst, at)
}

// judge is the part of the decision on a hello that needs no state. The text is for the operators of both sides.
func (o *Options) judge(h *hello) (reason Refusal, text string, ok bool) {
	switch {
	case h.WireMin > o.WireMax || h.WireMax < o.WireMin:
		return RefusedWire, fmt.Sprintf("wire versions %d to %d and %d to %d do not meet", h.WireMin, h.WireMax, o.WireMin, o.WireMax), false
	case h.Cluster != o.Cluster:
		return RefusedCluster, fmt.Sprintf("node is of cluster %q, here is %q", h.Cluster, o.Cluster), false
	case h.Config != o.ConfigHash:
		return RefusedConfig, fmt.Sprintf("configuration hash %016x, here %016x: partitions, hasher or policy differ", h.Config, o.ConfigHash), false
	case h.Node == o.Self:
		return RefusedSelf, "the node reached itself: its peer's address is its own", false
	case h.To != o.Self:
		return RefusedWrongPeer, fmt.Sprintf("here is %s, not %s", o.Self, h.To), false
	case h.Node.Name == o.Self.Name:
		return RefusedNameTaken, fmt.Sprintf("two live nodes are named %s", h.Node.Name), false
	}
	return 0, "", true
}

var errNotTaken = errors.New("another link took its place")
