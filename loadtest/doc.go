// Package loadtest is the harness: it starts real nodes, plays swarms of bots against them, breaks things on purpose, and judges
// from outside what the players were told.
//
// # Scenarios
//
//   - [Show]: a quiz show with many players on all nodes; one node may be killed in the middle of a question.
//   - [Bank]: accounts under deposits while connections break and nodes die.
//   - [Chat]: rooms in which what is said has numbers, while something happens to the nodes.
//
// A scenario records what every bot sent and was told. When it is over, a judge that knows nothing but this record ([JudgeShow],
// [JudgeBank], [JudgeChat]) lists every broken promise as a [Violation]. Judges are pure functions: a test gives them forged records and sees
// that each kind of violation is found.
//
// # Processes
//
// [Nodes] runs gamed as processes of its own on free ports of loopback, or in a network of its own (package netlab), and ends each by
// its pid, at the latest in Close. They die with the harness (Linux). [Nodes.Look] gives what each says of the cluster; [Meshed],
// [Single] and [Full] judge that. Scenarios also play against nodes that run already; those are never killed.
//
// # Limits
//
// One process plays all bots: a socket each, so a few less than the limit of open files. Every wait has a deadline; a scenario
// that gets stuck ends by it and says so as a violation.
package loadtest
