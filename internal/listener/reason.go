package listener

import "gamed/protocol"

// Reason says why a connection ended. Its String is the metric label.
type Reason uint8

// The reasons. From ReasonBadFrame on the client is told with a GOAWAY of the same code.
const (
	ReasonPeer     Reason = iota // the client closed
	ReasonReset                  // reading or writing failed
	ReasonBye                    // the client said BYE
	ReasonClosed                 // Conn.Close
	ReasonStopped                // the server stopped without waiting
	ReasonGarbage                // the first byte belongs to no dialect
	ReasonReserved               // "GET ", kept for WebSocket
	ReasonTLS                    // the TLS handshake or stream failed
	ReasonProxy                  // no PROXY header from a load balancer
	ReasonPlain                  // no TLS where it is asked for; told with a GOAWAY forbidden
	ReasonShed                   // turned away for want of memory; told with a GOAWAY unavailable
	ReasonCrowded                // oldest silent socket while too many have not said HELLO
	ReasonBadFrame
	ReasonFrameTooLarge
	ReasonBadVersion
	ReasonBadName
	ReasonBadToken
	ReasonExpiredToken
	ReasonHelloRequired
	ReasonHelloTimeout
	ReasonIdle
	ReasonRateLimited
	ReasonSlowConsumer
	ReasonReplaced
	ReasonKicked
	ReasonDraining
	ReasonShutdown
	ReasonUnavailable
	ReasonOther // GOAWAY with any other code
	reasons     // how many there are
)

var reasonNames = [reasons]string{
	ReasonPeer: "peer", ReasonReset: "reset", ReasonBye: "bye", ReasonClosed: "closed", ReasonStopped: "stopped",
	ReasonGarbage: "garbage", ReasonReserved: "reserved", ReasonTLS: "tls", ReasonProxy: "proxy", ReasonPlain: "plain", ReasonShed: "shed", ReasonCrowded: "crowded",
	ReasonBadFrame: string(protocol.CodeBadFrame), ReasonFrameTooLarge: string(protocol.CodeFrameTooLarge),
	ReasonBadVersion: string(protocol.CodeBadVersion), ReasonBadName: string(protocol.CodeBadName),
	ReasonBadToken: string(protocol.CodeBadToken), ReasonExpiredToken: string(protocol.CodeExpiredToken),
	ReasonHelloRequired: string(protocol.CodeHelloRequired), ReasonHelloTimeout: string(protocol.CodeHelloTimeout),
	ReasonIdle: string(protocol.CodeIdle), ReasonRateLimited: string(protocol.CodeRateLimited),
	ReasonSlowConsumer: string(protocol.CodeSlowConsumer), ReasonReplaced: string(protocol.CodeReplaced),
	ReasonKicked: string(protocol.CodeKicked), ReasonDraining: string(protocol.CodeDraining),
	ReasonShutdown: string(protocol.CodeShutdown), ReasonUnavailable: string(protocol.CodeUnavailable), ReasonOther: "other",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// lingers says that the client may still be reading and is given the time for it.
func (r Reason) lingers() bool {
	return r != ReasonPeer && r != ReasonReset && r != ReasonStopped && r != ReasonCrowded && r != ReasonProxy
}

// reasonOf is the reason of a GOAWAY with that code.
func reasonOf(code protocol.Code) Reason {
	for r := ReasonBadFrame; r < ReasonOther; r++ {
		if reasonNames[r] == string(code) {
			return r
		}
	}
	return ReasonOther
}

// drop says why something was thrown away though its connection lived on.
type drop uint8

const (
	dropCast    drop = iota // a cast over the rate
	dropPing                // a PING over the rate
	dropForeign             // a frame that the client's dialect cannot show
	drops
)

var dropNames = [drops]string{dropCast: "cast_over_rate", dropPing: "ping_over_rate", dropForeign: "not_in_dialect"}

func (d drop) String() string { return dropNames[d] }

// refusal says why a socket was closed at once after accept.
type refusal uint8

const (
	refuseFull     refusal = iota // MaxConns
	refuseAddr                    // PerAddrConns
	refuseAddrRate                // PerAddrRate
	refusals
)

var refusalNames = [refusals]string{refuseFull: "max_conns", refuseAddr: "per_addr_conns", refuseAddrRate: "per_addr_rate"}

func (r refusal) String() string { return refusalNames[r] }
