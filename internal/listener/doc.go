// Package listener owns the players' sockets: it accepts, sniffs the dialect, ends TLS, judges HELLO, frames and limits, and
// writes what the others want sent. Nothing outside it ever touches a player's connection.
//
// # Promises
//
// Input: the frames of one connection reach the [Handler] in the order sent, from one goroutine at a time, whole and checked
// (protocol.CheckFrame), all complete frames of one read as one batch. Output: frames leave in the order of the Send calls; what
// is sent before WELCOME is held and follows it. [Conn.Send] never blocks: it writes what the kernel takes, and what is left
// waits in the connection's outbox, which is bounded in bytes and time (slow_consumer).
//
// A client costs only itself: every length is judged before anything is allocated, every phase has a deadline (whole HELLO, one
// frame, silence, blocked writes), every count a limit. A connection ends once, with a [Reason]; whenever the client can still
// read it gets GOAWAY first, and is given a moment to read it before the socket closes.
//
// # Goroutines
//
// One accepts, one is the clock (time of day for all connections, and their deadlines in a wheel). Every connection has one
// owner, who runs [Conn.step]: a poll loop that owns thousands (plain TCP on Linux), or a goroutine for this one (TLS, other
// systems; there a second one exists while the socket is blocked). The owner alone reads, ends the connection and closes its
// socket; everybody else only pokes him. So a descriptor is never closed under somebody's feet, and a number that is used
// again never gets what was meant for the old one: writers look at the phase under Conn.mu first. An idle connection holds
// no buffer; in a loop it is one object of 320 bytes.
//
// # Parts
//
// [Conn] and what stands around it know bytes, not sockets; those are behind the transport interface. Dialects differ in how
// bytes become binary frames (input.go, words.go) and back; everything else is the same for all. step.go is the life of a
// connection as its owner runs it, the same over both transports; all tests run over both.
package listener
