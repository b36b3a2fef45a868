// Package faults breaks real clusters in every way a network or a machine can, and judges from outside what the players were told. It
// has tests only: each runs five processes or fewer, every one in a network namespace of its own (see netlab), under deposits and talk,
// and does one thing to them.
//
//   - crashes: TestKill, TestRestartOfAll, TestKillAtEachStepOfAMove
//   - orderly ends: TestDrain, TestRollingRestart, TestMovesStallNobody
//   - pauses: TestPause
//   - networks: TestSplit, TestThreeSides, TestCuts, TestFlap
//   - names: TestTwoNodesOfOneName, TestARestartElsewhere, TestDoubleLogin
//   - everything at random: TestSoak
//
// # Running
//
// `go test` runs short forms of the most telling cases, `make faults` (-faults.all) all of them in full, `make soak` (-minutes N) the
// last one. They need Linux, root, iproute2 and nftables and are skipped, with the reason, where those are missing. LOADTEST_GAMED names
// a binary to test instead of one built from the tree. -faults.seed repeats what the players do and what is broken; a failure names
// its seed. -faults.logs keeps the nodes' logs and what the players of wrong accounts did.
package faults
