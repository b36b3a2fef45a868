// Package config is what a node can be told: one struct whose tags give the command line flag, the environment variable, the
// YAML key, the default and the text of the help, and a loader that remembers where each value came from.
//
// Later sources win: default, YAML file, environment, flag. An unknown key is an error with a suggestion. Nothing here opens
// sockets or reads keys; a Config is a plain value and may be copied.
//
// The package imports no other of ours, so that every part may take its settings from it.
package config

import "time"

// Config is the whole configuration of a node. Tags: key (flag --key, environment GAMED_KEY, YAML key), arg (placeholder in the
// help), default, doc. secret: the value is shown redacted, and GAMED_KEY_FILE may name a file that holds it. off: the word that
// stands for 0. port: the address may leave out this port. A field without a key is no setting.
type Config struct {
	Node             string        `key:"node" arg:"NAME" doc:"name of this node, unique in the cluster (default: the host's name; with another player port than 7300, the name and the port)"`
	Cluster          string        `key:"cluster" arg:"NAME" default:"gamed" doc:"name of the cluster; nodes of another cluster are refused"`
	Listen           string        `key:"listen" arg:"HOST:PORT" default:"127.0.0.1:7300" port:"7300" doc:"where players connect; port 0 picks a free one"`
	Mesh             string        `key:"mesh" arg:"HOST:PORT" default:"127.0.0.1:7301" port:"7301" doc:"where other nodes connect"`
	Gossip           string        `key:"gossip" arg:"HOST:PORT" default:"127.0.0.1:7302" port:"7302" doc:"membership, TCP and UDP; what --join of other nodes names"`
	Admin            string        `key:"admin" arg:"HOST:PORT" default:"127.0.0.1:7303" port:"7303" doc:"console, metrics, health and API"`
	AdminTokenFile   string        `key:"admin-token-file" arg:"FILE" doc:"bearer tokens that the admin port asks for, lines of ROLE NAME TOKEN (needed beyond loopback)"`
	Advertise        string        `key:"advertise" arg:"HOST" doc:"host under which other nodes reach --mesh and --gossip (default: the address listened on)"`
	AdvertisePlayers string        `key:"advertise-players" arg:"HOST:PORT" doc:"address told to players (default: the address listened on)"`
	Join             []string      `key:"join" arg:"HOST:PORT,…" doc:"gossip addresses of nodes to join, or dns+NAME:PORT for all addresses of a name; may be repeated"`
	Expect           int           `key:"expect" arg:"N" default:"0" doc:"when forming a cluster, serve nobody before N nodes have met"`
	RateLimit        int           `key:"rate-limit" arg:"N|off" default:"60" off:"0" doc:"frames a second each player may send; burst is twice that"`
	Heartbeat        time.Duration `key:"heartbeat" arg:"TIME" default:"15s" doc:"ping a silent player after this, close after twice this"`
	SessionTTL       time.Duration `key:"session-ttl" arg:"TIME" default:"60s" doc:"how long a session outlives its socket"`
	DrainTimeout     time.Duration `key:"drain-timeout" arg:"TIME" default:"60s" doc:"how long SIGTERM waits for players to be moved"`
	DataDir          string        `key:"data-dir" arg:"DIR" doc:"directory for --store bolt (alone it means bolt)"`
	Store            string        `key:"store" arg:"mem|bolt|postgres://…" default:"mem" secret:"url" doc:"where durable state is kept; mem keeps nothing on disk"`
	Policy           string        `key:"policy" arg:"available|quorum" default:"available" doc:"in a netsplit: both sides serve, or only the majority (of two nodes neither survives a crash)"`
	Ack              string        `key:"ack" arg:"replicated|local" default:"replicated" doc:"answer after the backup took a change, or before"`
	Dispatch         string        `key:"dispatch" arg:"sharded|single|per-player" default:"sharded" doc:"how entities get goroutines: n workers, one, or one each"`
	Workers          int           `key:"workers" arg:"N" default:"0" doc:"workers for --dispatch sharded (0: as many as CPUs)"`
	Restore          string        `key:"restore" arg:"lazy|eager" default:"lazy" doc:"read entities from the store at their first message, or at start"`
	Auth             string        `key:"auth" arg:"none|jwt" default:"none" doc:"how players prove who they are"`
	AuthKeyFile      string        `key:"auth-key-file" arg:"FILE" doc:"keys that tokens are checked with, a JSON Web Key Set (see gamed token)"`
	TLSCert          string        `key:"tls-cert" arg:"FILE" doc:"certificate for players' TLS"`
	TLSKey           string        `key:"tls-key" arg:"FILE" doc:"private key of --tls-cert"`
	ProxyNetworks    []string      `key:"proxy-networks" arg:"CIDR,…" doc:"networks of load balancers, whose connections begin with PROXY protocol v2 and may be plain"`
	GossipKeyFile    string        `key:"gossip-key-file" arg:"FILE" doc:"key that gossip is encrypted with, or two while it is rotated (needed beyond loopback; see gamed certs)"`
	MeshCA           string        `key:"mesh-ca" arg:"FILE" doc:"CA that other nodes' certificates must come from (needed beyond loopback)"`
	MeshCert         string        `key:"mesh-cert" arg:"FILE" doc:"this node's certificate"`
	MeshKey          string        `key:"mesh-key" arg:"FILE" doc:"private key of --mesh-cert"`
	Insecure         bool          `key:"insecure" doc:"listen beyond loopback without authentication and encryption"`
	LogLevel         string        `key:"log-level" arg:"LEVEL" default:"info" doc:"debug, info, warn or error; SIGHUP reads it again"`
	LogFormat        string        `key:"log-format" arg:"text|json" default:"text" doc:"form of the log on stderr"`
}

// Default is the configuration of a node that was told nothing. Node is empty: see
// [Config.NodeName].
func Default() Config {
	var c Config
	for _, f := range Fields() {
		if f.Default == "" {
			continue
		}
		if err := f.set(&c, []string{f.Default}); err != nil {
			panic("config: default of " + f.Key + ": " + err.Error()) // a mistake in the tags above
		}
	}
	return c
}
