// Package client is the Go client of gamed: one player's session over raw TCP, in the binary dialect.
//
// [Dial] logs in; [Client.Call] asks and waits, [Client.Cast] only sends, pushes come to [Options.OnPush]. The connection may
// break and the node may die: the client goes on with any node it knows, resumes the session there, and sends open calls
// again under their refs, so each is processed once.
//
// # Promises
//
//   - Calls are sent in the order they were begun; their answers may overtake each other.
//   - A call returns: with the answer, an [*Error] that carries the server's code, or an error that says why none came. It
//     waits no longer than its context and [Options.CallTimeout].
//   - Codes of class retry are retried under the same ref (docs/adr/0006), except "internal".
//   - When the session is lost, calls that had been sent fail with [ErrSessionLost]: whether they were done is unknown. Calls
//     not yet sent go out in the new session.
//   - Pushes of one topic come in the order of their offsets, each once. What is missing is told: by [Connected.Missed] after
//     a resume, by [Options.OnGap] otherwise.
//   - A GOAWAY of class end, or with retry_ms -1, ends the client: [Client.Done] closes and [Client.Err] says why.
//
// # Concurrency
//
// All methods may be called from any goroutine. One goroutine reads; writing is done by a goroutine that lives while there is
// something to write, so that what is sent meanwhile goes out in one piece. Callbacks run one at a time, in order, and may
// call any method, Close included. At most [Options.PushQueue] pushes wait for a slow callback; then reading stops, answers
// included, until the server closes the connection as slow_consumer.
//
// # Debugging
//
// [Options.Logger] tells of each connection at level debug; [Client.Stats] counts reconnects, retries, duplicates and gaps.
package client
