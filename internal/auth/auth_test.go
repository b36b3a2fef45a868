package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func mustKey(t testing.TB, alg, id string) *Key {
	t.Helper()
	k, err := NewKey(alg, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ring is a keyring of cluster "show" whose clock stands at noon.
func ring(keys ...*Key) *Keyring {
	r := &Keyring{cluster: "show", now: func() time.Time { return noon }}
	r.use(keys)
	return r
}

func mustMint(t testing.TB, k *Key, cluster string, c Claims, life time.Duration) string {
	t.Helper()
	s, err := Mint(k, cluster, c, noon.Add(-24*time.Hour), noon.Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed is a token as another program might make it.
func signed(t testing.TB, m jwt.SigningMethod, key any, header, body map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(m, jwt.MapClaims(body))
	for k, v := range header {
		tok.Header[k] = v
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokensOfBothAlgorithms(t *testing.T) {
	for _, alg := range []string{HS256, EdDSA} {
		k, other := mustKey(t, alg, "one"), mustKey(t, EdDSA, "two")
		for _, r := range []*Keyring{ring(k), ring(other, k)} {
			got, code, err := r.Check(mustMint(t, k, "show", Claims{"ann", "host"}, time.Hour))
			if err != nil || code != "" || got != (Claims{"ann", "host"}) {
				t.Errorf("%s: %+v %q %v", alg, got, code, err)
			}
		}
		if pub := k.Public(); alg == EdDSA {
			if _, _, err := ring(pub).Check(mustMint(t, k, "show", Claims{Player: "ann"}, time.Hour)); err != nil {
				t.Errorf("the public half does not check: %v", err)
			}
			if _, err := Mint(pub, "show", Claims{Player: "ann"}, noon, noon.Add(1)); err == nil {
				t.Error("the public half signs")
			}
		} else if pub != nil {
			t.Error("a shared secret has a public half")
		}
	}
}

// TestTokensThatAreRefused: each is right but for one thing.
func TestTokensThatAreRefused(t *testing.T) {
	hs, ed := mustKey(t, HS256, "hs"), mustKey(t, EdDSA, "ed")
	priv := ed25519.NewKeyFromSeed(ed.secret)
	r := ring(hs, ed)
	good := func(change map[string]any) map[string]any {
		m := map[string]any{"sub": "ann", "aud": "show", "exp": noon.Add(time.Hour).Unix()}
		for k, v := range change {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		return m
	}
	kid := func(id string) map[string]any { return map[string]any{"kid": id} }
	mint := func(change map[string]any) string {
		return signed(t, jwt.SigningMethodHS256, hs.secret, kid("hs"), good(change))
	}
	if _, _, err := r.Check(mint(nil)); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	const bad, expired = protocol.CodeBadToken, protocol.CodeExpiredToken
	for name, tc := range map[string]struct {
		token string
		want  protocol.Code // "": taken
	}{
		"nothing":                   {"", bad},
		"too long":                  {strings.Repeat("x", 5000), bad},
		"dots":                      {"..", bad},
		"no signature":              {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid("hs"), good(nil)), bad},
		"HS512":                     {signed(t, jwt.SigningMethodHS512, hs.secret, kid("hs"), good(nil)), bad},
		"another's secret":          {signed(t, jwt.SigningMethodHS256, mustKey(t, HS256, "x").secret, kid("hs"), good(nil)), bad},
		"public half as a secret":   {signed(t, jwt.SigningMethodHS256, []byte(ed.public), kid("ed"), good(nil)), bad},
		"the other key's algorithm": {signed(t, jwt.SigningMethodEdDSA, priv, kid("hs"), good(nil)), bad},
		"unknown kid":               {signed(t, jwt.SigningMethodHS256, hs.secret, kid("gone"), good(nil)), bad},
		"no kid among two keys":     {signed(t, jwt.SigningMethodHS256, hs.secret, nil, good(nil)), bad},
		"kid a number":              {signed(t, jwt.SigningMethodHS256, hs.secret, map[string]any{"kid": 1}, good(nil)), bad},
		"critical extension":        {signed(t, jwt.SigningMethodHS256, hs.secret, map[string]any{"kid": "hs", "crit": []string{"b64"}}, good(nil)), bad},
		"another cluster":           {mint(map[string]any{"aud": "stage"}), bad},
		"no aud":                    {mint(map[string]any{"aud": nil}), bad},
		"several aud":               {mint(map[string]any{"aud": []string{"stage", "show"}}), ""},
		"no exp":                    {mint(map[string]any{"exp": nil}), bad},
		"exp a text":                {mint(map[string]any{"exp": "tomorrow"}), bad},
		"exp far beyond time":       {mint(map[string]any{"exp": 1e300}), expired},
		"over":                      {mint(map[string]any{"exp": noon.Add(-31 * time.Second).Unix()}), expired},
		"over within the skew":      {mint(map[string]any{"exp": noon.Add(-29 * time.Second).Unix()}), ""},
		"not yet":                   {mint(map[string]any{"nbf": noon.Add(31 * time.Second).Unix()}), bad},
		"not yet within the skew":   {mint(map[string]any{"nbf": noon.Add(29 * time.Second).Unix()}), ""},
		"over, and another cluster": {mint(map[string]any{"exp": 1, "aud": "stage"}), bad},
		"over, and no name":         {mint(map[string]any{"exp": 1, "sub": "a/b"}), bad},
		"no sub":                    {mint(map[string]any{"sub": nil}), bad},
		"sub no name":               {mint(map[string]any{"sub": "ann/../bob"}), bad},
		"role that stands for all":  {mint(map[string]any{"role": "*"}), bad},
		"role of two words":         {mint(map[string]any{"role": "host admin"}), bad},
		"role a list":               {mint(map[string]any{"role": []string{"host"}}), bad},
		"padding":                   {mint(nil) + "=", bad},
		"a line end":                {mint(nil) + "\n", bad},
	} {
		c, code, err := r.Check(tc.token)
		if code != tc.want || (err == nil) != (tc.want == "") || err != nil && c != (Claims{}) {
			t.Errorf("%s: %+v %q %v, want %q", name, c, code, err, tc.want)
		}
		if err != nil && len(tc.token) > 10 && strings.Contains(err.Error(), tc.token[:10]) {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
	if _, _, err := ring(hs).Check(signed(t, jwt.SigningMethodHS256, hs.secret, nil, good(nil))); err != nil {
		t.Errorf("no kid and one key: %v", err)
	}
}

// TestNoByteOfATokenMayChange: whatever bit is turned over, the token is refused.
func TestNoByteOfATokenMayChange(t *testing.T) {
	k := mustKey(t, HS256, "k")
	r, token := ring(k), mustMint(t, k, "show", Claims{"ann", "host"}, time.Hour)
	for i := range len(token) {
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			if c, _, err := r.Check(string(b)); err == nil {
				t.Fatalf("byte %d, bit %d: taken as %+v", i, bit, c)
			}
		}
	}
}

func TestKeysAreRotatedWhileTokensAreChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	old, fresh := mustKey(t, HS256, "old"), mustKey(t, EdDSA, "new")
	write := func(keys ...*Key) {
		if err := WriteKeys(file, keys); err != nil {
			t.Fatal(err)
		}
	}
	write(old)
	r, err := LoadKeyring(file, "show")
	if err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return noon }
	a, b := mustMint(t, old, "show", Claims{Player: "a"}, time.Hour), mustMint(t, fresh, "show", Claims{Player: "b"}, time.Hour)
	state := func() (s string) {
		for _, tok := range []string{a, b} {
			_, _, err := r.Check(tok)
			s += fmt.Sprint(err == nil, " ")
		}
		return s
	}
	for _, step := range []struct {
		keys []*Key
		want string
	}{{[]*Key{old}, "true false "}, {[]*Key{fresh, old}, "true true "}, {[]*Key{fresh}, "false true "}} {
		write(step.keys...)
		if err := r.Reload(); err != nil || state() != step.want {
			t.Fatalf("%v: %s %v", step.keys, state(), err)
		}
	}
	if err := os.WriteFile(file, []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil || state() != "false true " {
		t.Errorf("a broken file: %v, %s", err, state())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key file: %v %v", info.Mode(), err)
	}
}

func TestKeyFiles(t *testing.T) {
	k := mustKey(t, HS256, "k")
	secret := base64.RawURLEncoding.EncodeToString(k.secret)
	ed := mustKey(t, EdDSA, "e").jwk()
	for text, want := range map[string]string{
		``:                          "JSON Web Key Set",
		`{"keys":[]}`:               "0 keys",
		`{"keys":[{"kty":"oct"}]}`:  "kid",
		`{"keys":[{"kid":"a"}]}`:    "kty",
		`{"keys":[{"kid":"a b"}]}`:  "kid",
		`{"keys":[]} {}`:            "follows",
		`["` + secret + `"]`:        "JSON Web Key Set",
		strings.Repeat(" ", 70_000): "at most",
		`{"keys":[{"kty":"oct","kid":"a","k":"c2hvcnQ"}]}`:                                                     "32 to 512 bytes",
		`{"keys":[{"kty":"oct","kid":"a","alg":"none","k":"` + secret + `"}]}`:                                 "kty",
		`{"keys":[{"kty":"oct","kid":"a","use":"enc","k":"` + secret + `"}]}`:                                  "use",
		`{"keys":[{"kty":"oct","kid":"a","k":"` + secret + `"},{"kty":"oct","kid":"a","k":"` + secret + `"}]}`: "twice",
		`{"keys":[{"kty":"OKP","crv":"X25519","kid":"a","x":"` + ed.X + `"}]}`:                                 "kty",
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}`:                                        "x:",
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"` + ed.X + `","d":"` + secret + `"}]}`:           "belong together",
		`{"keys":[{"kty":"RSA","kid":"a","n":"` + secret + `"}]}`:                                              "kty",
		`{"keys":[{"kty":"oct","kid":"a","k":"` + secret + `!"}]}`:                                             "base64url",
	} {
		keys, err := ParseKeys([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || keys != nil {
			t.Errorf("%.40s: %v %v, want %q", text, keys, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, k); strings.Contains(s, secret) || strings.Contains(s, string(k.secret)) {
			t.Errorf("%s shows the secret", verb)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	k := mustKey(t, HS256, "k")
	for _, tc := range []struct {
		c    Claims
		life time.Duration
	}{{Claims{Player: "a/b"}, time.Hour}, {Claims{Player: ""}, time.Hour}, {Claims{"a", "*"}, time.Hour}, {Claims{Player: "a"}, 0}} {
		if s, err := Mint(k, "show", tc.c, noon, noon.Add(tc.life)); err == nil {
			t.Errorf("%+v: %s", tc, s)
		}
	}
	if _, err := NewKey("RS256", ""); err == nil {
		t.Error("a key for RS256 was made")
	}
	if a, b := mustKey(t, HS256, ""), mustKey(t, HS256, ""); a.ID == b.ID || string(a.secret) == string(b.secret) {
		t.Error("two keys are the same")
	}
}

// FuzzToken: nothing panics, and what is taken has a signature that is right by the book.
func FuzzToken(f *testing.F) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	k := &Key{ID: "k", Alg: HS256, secret: secret}
	f.Add("", "")
	f.Add(mustMint(f, k, "show", Claims{"ann", "host"}, time.Hour), "")
	f.Add(mustMint(f, k, "stage", Claims{"ann", ""}, -time.Hour), "")
	f.Add(`{"alg":"HS256","kid":"k"}`, `{"sub":"ann","aud":"show","exp":1e9}`)
	f.Add(`{"alg":"none"}`, `{"sub":"ann","aud":["show"],"exp":99999999999,"role":"*"}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		r := ring(k)
		enc := base64.RawURLEncoding
		part := enc.EncodeToString([]byte(a)) + "." + enc.EncodeToString([]byte(b))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(part))
		for _, token := range []string{a, part + "." + enc.EncodeToString(mac.Sum(nil)), part + "." + b} {
			c, code, err := r.Check(token)
			if (err == nil) != (code == "") || err != nil && c != (Claims{}) {
				t.Fatalf("%+v %q %v", c, code, err)
			}
			if err != nil {
				continue
			}
			body, sum, _ := strings.Cut(token[strings.IndexByte(token, '.')+1:], ".")
			mac.Reset()
			mac.Write([]byte(token[:len(token)-len(sum)-1]))
			if got, err := enc.DecodeString(sum); err != nil || !hmac.Equal(got, mac.Sum(nil)) || body == "" {
				t.Fatalf("taken without a signature: %q", token)
			}
			if !protocol.ValidPlayer(c.Player) || c.Role == "*" {
				t.Fatalf("taken as %+v", c)
			}
		}
	})
}

// FuzzKeyFile: nothing panics, and what is read can be written and read again.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","kid":"a","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := ParseKeys(b)
		if err != nil {
			return
		}
		file := filepath.Join(t.TempDir(), "k")
		if err := WriteKeys(file, keys); err != nil {
			t.Fatal(err)
		}
		again, err := ReadKeys(file)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%v %v", again, err)
		}
		for i := range keys {
			if again[i].ID != keys[i].ID || again[i].Alg != keys[i].Alg || string(again[i].secret) != string(keys[i].secret) || !again[i].public.Equal(keys[i].public) {
				t.Fatalf("%v became %v", keys[i], again[i])
			}
		}
	})
}
