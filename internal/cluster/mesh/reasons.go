package mesh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Errors of Send. All of them say that the envelope was not queued.
var (
	ErrBusy     = errors.New("mesh: the peer's queue is full")
	ErrNoLink   = errors.New("mesh: no link to the peer")
	ErrTooLarge = errors.New("mesh: the envelope is too large")
)

// Lane is one of the two connections of a link.
type Lane uint8

// The lanes.
const (
	Data Lane = iota
	Control
	lanes
)

func (l Lane) String() string { return name(laneNames[:], int(l)) }

var laneNames = [lanes]string{Data: "data", Control: "control"}

// Refusal says why a connection was not taken.
type Refusal uint8

// The refusals. On the wire they travel by name.
const (
	RefusedOther       Refusal = iota // a reason this version does not know
	RefusedBadHello                   // not a hello, or an ill-formed one
	RefusedWire                       // no wire version in common
	RefusedCluster                    // another cluster
	RefusedConfig                     // another configuration (partitions, hasher, policy)
	RefusedCertificate                // the certificate is not the named node's
	RefusedWrongPeer                  // the dialer meant another node, or another life of this one
	RefusedSelf                       // the node reached itself
	RefusedNameTaken                  // another live node has this name
	RefusedSettled                    // the other dial of a simultaneous pair is kept
	RefusedNoLink                     // a data lane whose control lane is gone
	RefusedCut                        // by Cut
	RefusedCrowded                    // too many connections in their hello
	RefusedStopping                   // the node is going down
	refusals
)

var refusalNames = [refusals]string{RefusedOther: "other", RefusedBadHello: "bad_hello", RefusedWire: "wire", RefusedCluster: "cluster",
	RefusedConfig: "config", RefusedCertificate: "certificate", RefusedWrongPeer: "wrong_peer", RefusedSelf: "self",
	RefusedNameTaken: "name_taken", RefusedSettled: "settled", RefusedNoLink: "no_link",
	RefusedCut: "cut", RefusedCrowded: "crowded", RefusedStopping: "stopping"}

func (r Refusal) String() string { return name(refusalNames[:], int(r)) }

// routine says that the refusal belongs to normal life and is not worth an operator's attention.
func (r Refusal) routine() bool {
	switch r {
	case RefusedSettled, RefusedNoLink, RefusedCut, RefusedStopping:
		return true
	}
	return false
}

func refusalNamed(s string) Refusal {
	for i, n := range refusalNames {
		if n == s {
			return Refusal(i)
		}
	}
	return RefusedOther
}

// Close says why a link ended.
type Close uint8

// The ends of a link.
const (
	ClosedByPeer   Close = iota // the peer closed it in order
	ClosedReset                 // reset: the peer's process is gone, or it closed with data under way
	ClosedError                 // another error of the connection
	ClosedSilent                // heartbeats went unanswered
	ClosedBadFrame              // the peer sent what is no frame
	ClosedReplaced              // a newer link, or a newer life of the peer, took its place
	ClosedUnwanted              // SetPeers no longer names the peer
	ClosedCut                   // by Cut
	ClosedStopped               // this node goes down
	ClosedHello                 // it never came up: hello failed or timed out
	closes
)

var closeNames = [closes]string{ClosedByPeer: "closed", ClosedReset: "reset", ClosedError: "error", ClosedSilent: "silent",
	ClosedBadFrame: "bad_frame", ClosedReplaced: "replaced", ClosedUnwanted: "unwanted", ClosedCut: "cut", ClosedStopped: "stopped",
	ClosedHello: "hello"}

func (c Close) String() string { return name(closeNames[:], int(c)) }

// Drop says why an envelope was not carried.
type Drop uint8

// The drops.
const (
	DropBusy     Drop = iota // ErrBusy
	DropNoLink               // ErrNoLink
	DropTooLarge             // ErrTooLarge
	DropLost                 // queued when its link died
	drops
)

var dropNames = [drops]string{DropBusy: "busy", DropNoLink: "no_link", DropTooLarge: "too_large", DropLost: "link_lost"}

func (d Drop) String() string { return name(dropNames[:], int(d)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

// closeOf is the reason that an error of a connection stands for.
func closeOf(err error) Close {
	switch {
	case errors.Is(err, errFrame):
		return ClosedBadFrame
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ClosedReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return ClosedByPeer
	}
	return ClosedError
}
