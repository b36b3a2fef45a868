// Package hostile shows with real processes that a slow or hostile client costs only itself. It has tests only: each starts a
// gamed of its own on free ports of loopback, attacks it over raw sockets, plays honestly beside that, and kills it by its pid.
//
//   - slow clients: TestSlowClientCostsOnlyItself, TestSlowClientIsClosedByTime
//   - half-open clients: TestHalfOpenClient
//   - silence and drips: TestSilenceAndDrips, TestSilentCrowd
//   - garbage, truncated and oversize frames, all dialects: TestGarbage
//   - msgpack bombs as frames and in calls of every game: TestBombs, TestNastyPayloads; on the mesh: TestMeshGarbage,
//     TestMeshIntruder
//   - handlers that panic, once and for ever, and handlers that block: TestAPanicCostsOneMessage, TestPanicLoop, TestBlockedHandler,
//     with a game of the tests' own
//   - floods of frames and of connections: TestFlood, TestConnectionFlood, TestNoFilesLeft
//
// # Judging latency
//
// "The others' p99 does not move" is judged in pairs of short windows, one without and one with the attack. The median of the
// windows' p99 may double and gain moved; a comparison that fails is made again up to three times in all, because a neighbour on
// the machine does not stay and a real effect does. What the honest players are told is judged in every window.
//
// # Running
//
// The binary is built once per run from the tree; HOSTILE_GAMED names one to test instead. -short makes crowds and waits smaller
// and leaves out what needs more than ten seconds. -hostile.seed repeats a run of the generators: a failure names its seed.
package hostile
