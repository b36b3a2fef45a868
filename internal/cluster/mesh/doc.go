// Package mesh is the full mesh of links between the nodes of a cluster.
//
// A link to a peer is a pair of TCP connections: the control lane (tables, acknowledgements, small and urgent) and the data lane.
// Both carry frames: a 4-byte big-endian length and a body, which is one envelope (a msgpack array) or one of the few frames of
// the link itself (frame.go). The first frame of a connection is a hello; the answer is a welcome or a refusal with its reason.
//
// # Promises
//
//   - Order: what one goroutine sends to one peer on one lane arrives in that order while the link lives. Lanes overtake each other.
//   - Delivery is at most once. What was queued when a link died is lost and counted; [Mesh.Send] without a link says [ErrNoLink].
//   - Nothing of an old link is delivered after its end was told by OnLink, and so never after the first frame of the next one.
//   - Send never blocks: it encodes into the lane's bounded buffer, or says [ErrBusy].
//   - A link whose peer does not answer is found in three and a half to five heartbeats (default 500 ms), each direction by
//     itself; one that is closed or reset, at once.
//   - A frame that is no valid envelope costs the link it came on, never the process.
//
// # Settling
//
// Both sides may dial at once. A node numbers its dials; a hello carries the dial's number (seq) and the highest dial of the
// other side that it took (seen). So the receiver of a hello knows whether it was sent before or after the sender had taken the
// receiver's own dial. If after: the sender has lost that link, and the new one replaces it. If before, both dials are in
// flight, and the dial of the larger NodeID is kept. Either way both sides decide the same without another round trip.
//
// # Goroutines
//
// Run owns the accept loop, one dial loop per wanted peer and, per link, one goroutine for heartbeats and the link's life, and a
// reader and a writer per lane. Callbacks run on these: Receive, BatchEnd and OnHello (control lane) on the reader of their
// lane, OnLink on the link's goroutine. They must not block; a reader that is inside a callback is not taken for silence.
//
// # Debugging
//
// gamed_mesh_* metrics say what each lane carries and why links end; [Mesh.Peers] is the live view; [Mesh.Cut] makes a split.
package mesh
