#!/bin/sh
# Makes the keys and certificates of the cluster in docker-compose.secure.yml, and lays out for each node what it needs and no more:
#
#   sh deploy/secrets.sh [DIR]          DIR: deploy/secrets
#
# What is there is kept, so it may be run again: after a change (gamed certs gossip-key DIR/gossip.key --add, gamed token --new-key, …)
# it hands the changed files to all nodes, which read them again within seconds. DIR/ca.key and DIR/sign.json are needed on no node:
# keep them elsewhere.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
gamed=${GAMED:-$here/../bin/gamed}
dir=${1:-$here/secrets}
nodes="gamed-1 gamed-2 gamed-3"
umask 077

mkdir -p "$dir"
has() { [ -e "$dir/$1" ]; }
has ca.key || "$gamed" certs ca --cluster compose "$dir" >/dev/null
has players.key || "$gamed" certs server "$dir" players localhost 127.0.0.1 >/dev/null
has gossip.key || "$gamed" certs gossip-key "$dir/gossip.key" >/dev/null
has sign.json || "$gamed" token --new-key EdDSA --auth-key-file "$dir/sign.json" --public "$dir/check.json" >/dev/null
has operator.token || "$gamed" certs admin-token --role operator --name operator "$dir/admin.tokens" >"$dir/operator.token"
has viewer.token || "$gamed" certs admin-token --role viewer --name viewer "$dir/admin.tokens" >"$dir/viewer.token"

# give FILE NODE NAME: a node sees either the old file or the new one, never half of it.
give() {
	cp "$dir/$1" "$dir/$2/.new"
	chmod 0400 "$dir/$2/.new"
	[ "$(id -u)" != 0 ] || chown 65532:65532 "$dir/$2/.new"
	mv -f "$dir/$2/.new" "$dir/$2/$3"
}
for node in $nodes; do
	has "$node.key" || "$gamed" certs node "$dir" "$node" >/dev/null
	mkdir -p "$dir/$node"
	[ "$(id -u)" != 0 ] || chown 65532:65532 "$dir/$node"
	give ca.pem "$node" ca.pem
	give "$node.pem" "$node" node.pem
	give "$node.key" "$node" node.key
	give gossip.key "$node" gossip.key
	give check.json "$node" auth.json
	give players.pem "$node" players.pem
	give players.key "$node" players.key
	give admin.tokens "$node" admin.tokens
done
