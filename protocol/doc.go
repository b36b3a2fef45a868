// Package protocol is the player protocol, version 1: what clients and nodes say to each other byte by byte. docs/PROTOCOL.md
// tells the same to people who write a client in another language.
//
// A frame is a 4-byte big-endian length and then one msgpack array, its first element the [Kind]. The codecs are written by
// hand: no reflection, no recursion, nothing of type any, so that no bytes can make them panic, recurse or allocate more than
// they hold. The order of use is
//
//  1. the length is judged (MaxFrameIn, MaxFrameHello) before anything is read,
//  2. [CheckFrame] judges the structure of the body: depth, number of values, lengths,
//  3. a Parse function gives the fields; they alias the body.
//
// Payloads stay opaque bytes until the one who owns them reads them with a [Cursor] or decodes them.
//
// JSON lines are the same arrays as text: [FrameFromJSON] and [FrameToJSON] convert whole frames. A CALL's payload that came as
// JSON stays JSON inside the cluster (see [AppendTaggedJSON]); whoever writes frames to a client of the binary dialect passes
// them through [NormalizeFrame] when [FrameTagged] says so.
//
// All functions are safe for concurrent use; a Cursor is not. Append functions grow dst as append does and never keep it.
package protocol
