package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The algorithms of keys.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
)

// Bounds of a key file and what is in it.
const (
	maxFile   = 64 << 10
	maxKeys   = 16
	minSecret = 32 // bytes of an HS256 key: the length of the hash
	maxSecret = 512
)

// Key is one key of a file. It prints without its secret.
type Key struct {
	ID     string
	Alg    string // HS256 or EdDSA
	secret []byte // HS256: the shared secret; EdDSA: the seed, nil for a key that can only check
	public ed25519.PublicKey
}

// Signs says whether tokens can be minted with the key.
func (k *Key) Signs() bool { return len(k.secret) > 0 }

// String names the key without its secret.
func (k *Key) String() string { return fmt.Sprintf("%s (%s)", k.ID, k.Alg) }

// GoString is String, so that no way of printing shows the secret.
func (k *Key) GoString() string { return k.String() }

// Public is the key without what signs; nil for HS256, which has no such half.
func (k *Key) Public() *Key {
	if k.Alg != EdDSA {
		return nil
	}
	return &Key{ID: k.ID, Alg: k.Alg, public: k.public}
}

// NewKey makes a key from the system's randomness. An empty id is replaced by a random one.
func NewKey(alg, id string) (*Key, error) {
	random := make([]byte, minSecret)
	_, _ = rand.Read(random) // never fails
	if id == "" {
		name := make([]byte, 6)
		_, _ = rand.Read(name)
		id = base64.RawURLEncoding.EncodeToString(name)
	}
	if !validID(id) {
		return nil, errID
	}
	k := &Key{ID: id, Alg: alg, secret: random}
	switch alg {
	case HS256:
	case EdDSA:
		k.public = ed25519.NewKeyFromSeed(random).Public().(ed25519.PublicKey)
	default:
		return nil, fmt.Errorf("algorithm %q: want %s or %s", alg, HS256, EdDSA)
	}
	return k, nil
}

var errID = errors.New("kid: want 1 to 64 printable ASCII characters without blanks")

func validID(id string) bool {
	return len(id) >= 1 && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

// jwk is a key as it stands in a file.
type jwk struct {
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	K   string `json:"k,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	D   string `json:"d,omitempty"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// ParseKeys reads the text of a key file: 1 to 16 keys with different kids. Errors tell the number of the key, never its content.
func ParseKeys(text []byte) ([]*Key, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("a key file has at most %d bytes", maxFile)
	}
	var set jwks
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&set); err != nil { // the error may quote the file
		return nil, errors.New(`want a JSON Web Key Set: {"keys":[{"kty":…,"kid":…}]}; gamed token --new-key makes one`)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON Web Key Set")
	}
	if len(set.Keys) < 1 || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys: want 1 to %d", len(set.Keys), maxKeys)
	}
	var out []*Key
	seen := map[string]bool{}
	for i := range set.Keys {
		k, err := set.Keys[i].key()
		if err == nil && seen[k.ID] {
			err = errors.New("the kid stands there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		seen[k.ID] = true
		out = append(out, k)
	}
	return out, nil
}

func (j *jwk) key() (*Key, error) {
	if !validID(j.Kid) {
		return nil, errID
	}
	if j.Use != "" && j.Use != "sig" {
		return nil, errors.New(`use: want "sig"`)
	}
	k := &Key{ID: j.Kid}
	switch {
	case j.Kty == "oct" && (j.Alg == "" || j.Alg == HS256):
		k.Alg = HS256
		b, err := base64.RawURLEncoding.DecodeString(j.K)
		if err != nil || len(b) < minSecret || len(b) > maxSecret {
			return nil, fmt.Errorf("k: want base64url of %d to %d bytes", minSecret, maxSecret)
		}
		k.secret = b
	case j.Kty == "OKP" && j.Crv == "Ed25519" && (j.Alg == "" || j.Alg == EdDSA):
		k.Alg = EdDSA
		x, err := base64.RawURLEncoding.DecodeString(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x: want base64url of an Ed25519 public key")
		}
		k.public = x
		if j.D == "" {
			break
		}
		if k.secret, err = base64.RawURLEncoding.DecodeString(j.D); err != nil || len(k.secret) != ed25519.SeedSize {
			return nil, errors.New("d: want base64url of an Ed25519 private key")
		}
		if !bytes.Equal(ed25519.NewKeyFromSeed(k.secret).Public().(ed25519.PublicKey), x) {
			return nil, errors.New("x and d do not belong together")
		}
	default:
		return nil, errors.New(`want "kty":"oct" (HS256) or "kty":"OKP","crv":"Ed25519" (EdDSA)`)
	}
	return k, nil
}

func (k *Key) jwk() jwk {
	enc := base64.RawURLEncoding
	if k.Alg == HS256 {
		return jwk{Kty: "oct", Kid: k.ID, Alg: HS256, Use: "sig", K: enc.EncodeToString(k.secret)}
	}
	j := jwk{Kty: "OKP", Kid: k.ID, Alg: EdDSA, Use: "sig", Crv: "Ed25519", X: enc.EncodeToString(k.public)}
	if k.Signs() {
		j.D = enc.EncodeToString(k.secret)
	}
	return j
}

// ReadKeys reads a key file.
func ReadKeys(file string) ([]*Key, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, err)
	}
	return keys, nil
}

// WriteKeys writes a key file that only its owner may read, whole or not at all.
func WriteKeys(file string, keys []*Key) error {
	set := jwks{Keys: []jwk{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.jwk())
	}
	text, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if _, err := ParseKeys(text); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return WriteFile(file, append(text, '\n'))
}

// WriteFile writes a file of keys or tokens whole or not at all; only its owner may read it.
func WriteFile(file string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".keys-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}
