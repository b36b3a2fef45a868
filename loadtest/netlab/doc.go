// Package netlab makes a network of this machine's own to break: hosts on one bridge, each in a network namespace of its own, and cuts
// between them as a cable or a firewall would make them. Nothing of it is in the machine's own network, and nothing is left when
// it is closed; a lab whose process was killed is removed by the next one.
//
// It needs Linux, root (CAP_SYS_ADMIN and CAP_NET_ADMIN), iproute2 and nftables; [Check] says by name what is missing.
//
// Packets are dropped on the bridge, in one step for all cuts, so a split is never half there. Both ends see silence, not a reset:
// what is under way is sent again after the heal, as the kernel sees fit.
package netlab
