package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// GossipKeys are what gossip is encrypted with: the first sends, each of them opens. There are never more than two.
type GossipKeys [][]byte

const maxGossipKeys = 2

// NewGossipKey is a random AES-256 key.
func NewGossipKey() []byte {
	k := make([]byte, 32)
	_, _ = rand.Read(k) // never fails
	return k
}

// ParseGossipKeys reads one or two keys, each a line of base64 of 16, 24 or 32 bytes. Empty lines and those with # are skipped.
func ParseGossipKeys(text string) (GossipKeys, error) {
	var keys GossipKeys
	for _, line := range lines(text) {
		k, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(k) != 16 && len(k) != 24 && len(k) != 32 {
			return nil, fmt.Errorf("gossip key %d: want base64 of 16, 24 or 32 bytes; gamed certs gossip-key makes one", len(keys)+1)
		}
		for _, other := range keys {
			if string(other) == string(k) {
				return nil, errors.New("both gossip keys are the same")
			}
		}
		if keys = append(keys, k); len(keys) > maxGossipKeys {
			return nil, fmt.Errorf("more than %d gossip keys: take the oldest out before the next one comes in", maxGossipKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no gossip key: gamed certs gossip-key makes one")
	}
	return keys, nil
}

// Text is what a file of these keys holds.
func (g GossipKeys) Text() string {
	var b strings.Builder
	b.WriteString("# The first key sends, each opens. To rotate, on all nodes at each step: add, use, drop (gamed certs gossip-key --help).\n")
	for _, k := range g {
		b.WriteString(base64.StdEncoding.EncodeToString(k) + "\n")
	}
	return b.String()
}

// ReadText reads a file of keys or tokens, at most 64 KiB.
func ReadText(file string) (string, error) {
	b, err := readFile(file)
	if err != nil {
		return "", err
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("%s: a file of keys has at most %d bytes", file, maxFile)
	}
	return string(b), nil
}

// readFile reads a little more than may be there, so that the excess is seen.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return b, nil
}

// lines are those of a text that say something, trimmed.
func lines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}
