package auth

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gamed/protocol"
)

// Skew is how far the clock that made a token may be off.
const Skew = 30 * time.Second

// maxToken is longer than any token that fits a HELLO.
const maxToken = protocol.MaxFrameHello

// Claims are what a token says of its bearer.
type Claims struct {
	Player string
	Role   string // "" without one
}

// Keyring checks tokens with the keys of a file.
type Keyring struct {
	file    string
	cluster string
	now     func() time.Time
	keys    atomic.Pointer[map[string]*Key]
}

// LoadKeyring reads the key file for the tokens of a cluster.
func LoadKeyring(file, cluster string) (*Keyring, error) {
	r := &Keyring{file: file, cluster: cluster, now: time.Now}
	return r, r.Reload()
}

// Reload reads the file again. When that fails the keys in use stay.
func (r *Keyring) Reload() error {
	keys, err := ReadKeys(r.file)
	if err != nil {
		return err
	}
	r.use(keys)
	return nil
}

func (r *Keyring) use(keys []*Key) {
	byID := make(map[string]*Key, len(keys))
	for _, k := range keys {
		byID[k.ID] = k
	}
	r.keys.Store(&byID)
}

// IDs are the kids of the keys in use, for people.
func (r *Keyring) IDs() []string {
	var out []string
	for id := range *r.keys.Load() {
		out = append(out, id)
	}
	return out
}

// claims is the payload of a token.
type claims struct {
	Role string `json:"role,omitempty"`
	jwt.RegisteredClaims
}

// The judgements on tokens. Their texts go to clients.
var (
	errBad     = errors.New("the token is not accepted")
	errExpired = errors.New("the token is over its time")
	errRole    = errors.New("the token's role is no word of a-z, 0-9 and -")
	errSubject = errors.New("the token's subject is no player's name")
)

// Check judges a token. code is CodeBadToken or CodeExpiredToken when err is not nil; a token over its time is expired only if all
// else about it is right.
func (r *Keyring) Check(token string) (c Claims, code protocol.Code, err error) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // base64 decoders skip these
		return Claims{}, protocol.CodeBadToken, errBad
	}
	var body claims
	_, err = jwt.ParseWithClaims(token, &body, r.keyOf, jwt.WithValidMethods([]string{HS256, EdDSA}), jwt.WithStrictDecoding(),
		jwt.WithAudience(r.cluster), jwt.WithExpirationRequired(), jwt.WithLeeway(Skew), jwt.WithTimeFunc(r.now))
	expired := errors.Is(err, jwt.ErrTokenExpired) && !wrongBeside(err)
	switch {
	case err != nil && !expired:
		return Claims{}, protocol.CodeBadToken, errBad
	case !protocol.ValidPlayer(body.Subject):
		return Claims{}, protocol.CodeBadToken, errSubject
	case !validRole(body.Role):
		return Claims{}, protocol.CodeBadToken, errRole
	case expired:
		return Claims{}, protocol.CodeExpiredToken, errExpired
	}
	return Claims{Player: body.Subject, Role: body.Role}, "", nil
}

// wrongBeside says whether more is wrong with a token than its time.
func wrongBeside(err error) bool {
	for _, other := range []error{jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued} {
		if errors.Is(err, other) {
			return true
		}
	}
	return false
}

// keyOf is what the signature is checked with. The key decides on the algorithm: a token that is signed with the public half of
// an EdDSA key as if it were a shared secret is none of ours.
func (r *Keyring) keyOf(t *jwt.Token) (any, error) {
	keys := *r.keys.Load()
	id, named := t.Header["kid"].(string)
	k := keys[id]
	if !named && len(keys) == 1 {
		for _, only := range keys {
			k = only
		}
	}
	if _, critical := t.Header["crit"]; critical { // extensions that must be understood; we know none
		return nil, errBad
	}
	if k == nil || t.Method.Alg() != k.Alg {
		return nil, errBad
	}
	if k.Alg == EdDSA {
		return k.public, nil
	}
	return k.secret, nil
}

// validRole: "" or a word. In particular not game.AnyRole, which is for servers without authentication.
func validRole(role string) bool {
	return len(role) <= 32 && strings.Trim(role, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Mint makes a token that is good until expiry.
func Mint(k *Key, cluster string, c Claims, now, expiry time.Time) (string, error) {
	switch {
	case !k.Signs():
		return "", errors.New("the key can check tokens, not sign them: use the file with its private half")
	case !protocol.ValidPlayer(c.Player):
		return "", errSubject
	case !validRole(c.Role):
		return "", errRole
	case !expiry.After(now):
		return "", errors.New("the token would be over its time already")
	}
	body := claims{Role: c.Role, RegisteredClaims: jwt.RegisteredClaims{Subject: c.Player, Audience: jwt.ClaimStrings{cluster},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expiry)}}
	var t *jwt.Token
	var with any = k.secret
	if k.Alg == EdDSA {
		t, with = jwt.NewWithClaims(jwt.SigningMethodEdDSA, body), ed25519.NewKeyFromSeed(k.secret)
	} else {
		t = jwt.NewWithClaims(jwt.SigningMethodHS256, body)
	}
	t.Header["kid"] = k.ID
	return t.SignedString(with)
}
