package cluster

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

// maxKeys is how many keys gossip has at one time: memberlist takes keys out without a race only at the end of its ring.
const maxKeys = 2

func checkKeys(keys [][]byte) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d gossip keys: want at most %d", len(keys), maxKeys)
	}
	for i, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip key has %d bytes: want 16, 24 or 32", len(k))
		}
		if i > 0 && bytes.Equal(k, keys[0]) {
			return errors.New("both gossip keys are the same")
		}
	}
	return nil
}

// newKeyring is nil without keys.
func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return memberlist.NewKeyring(keys, keys[0])
}

// SetGossipKeys replaces the keys while gossip goes on: from the next packet on the first one encrypts, and each decrypts. A
// cluster that began without keys cannot get them, nor lose the last one.
func (c *Cluster) SetGossipKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return err
	}
	ring := c.gossip.conf.Keyring
	if ring == nil || len(keys) == 0 {
		return errors.New("gossip begins and ends with a key at a restart only")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return exchange(ring, keys)
}

// exchange makes the ring hold keys, in their order. It never holds more than two, and only the last one is ever taken out.
func exchange(ring *memberlist.Keyring, keys [][]byte) error {
	drop := func(keep func([]byte) bool) error {
		for _, k := range ring.GetKeys()[1:] {
			if !keep(k) {
				return ring.RemoveKey(k)
			}
		}
		return nil
	}
	if ring.UseKey(keys[0]) != nil { // it is not there yet
		if err := drop(func([]byte) bool { return false }); err != nil {
			return err
		}
		if err := errors.Join(ring.AddKey(keys[0]), ring.UseKey(keys[0])); err != nil {
			return err
		}
	}
	if err := drop(func(k []byte) bool { return len(keys) > 1 && bytes.Equal(k, keys[1]) }); err != nil {
		return err
	}
	if len(keys) > 1 {
		return ring.AddKey(keys[1])
	}
	return nil
}

// strangers counts what came from nodes that are none of ours. memberlist tells of them in its log only; a test notices when its
// words change.
type strangers struct{ key, label prometheus.Counter }

// newStrangers registers the counters.
func newStrangers(reg prometheus.Registerer) (*strangers, error) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "cluster", Name: "gossip_refused_total",
		Help: "Packets and streams of gossip refused: not encrypted with a key of ours, or of another cluster."}, []string{"reason"})
	if err := reg.Register(vec); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return &strangers{key: vec.WithLabelValues("key"), label: vec.WithLabelValues("cluster")}, nil
}

var (
	wordsOfKey = [][]byte{[]byte("Decrypt packet failed"), []byte("no installed keys could decrypt"),
		[]byte("encryption is configured but remote state is not encrypted"), []byte("remote state is encrypted and encryption is not configured")}
	wordsOfLabel = [][]byte{[]byte("unacceptable label")}
)

// count looks whether a line of memberlist's log tells of a stranger. A nil strangers counts nothing.
func (s *strangers) count(line []byte) {
	if s == nil {
		return
	}
	for _, w := range wordsOfLabel {
		if bytes.Contains(line, w) {
			s.label.Inc()
			return
		}
	}
	for _, w := range wordsOfKey {
		if bytes.Contains(line, w) {
			s.key.Inc()
			return
		}
	}
}
