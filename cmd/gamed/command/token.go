package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/auth"
	"gamed/internal/config"
)

// tokenOptions are the flags of gamed token.
type tokenOptions struct {
	file, cluster, role, kid, newKey, dropKey, public string
	ttl                                               time.Duration
}

func newToken(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token PLAYER",
		Short: "Make a player's token, or the keys that sign tokens",
		Long: `Prints a token (JWT) for a player of a cluster that runs with --auth jwt, signed with the first key of --auth-key-file that can sign.

With --new-key it makes a key and puts it first in the file, which is made when it is not there. Nodes read the file again within
seconds of a change, or at SIGHUP. EdDSA keys have two halves: with --public FILE the half that only checks is written there, for
the nodes; the file itself stays where tokens are made. An HS256 key is one secret for both.

To change keys: --new-key; give the file to all nodes; make tokens; when the last token of the old key is over, --drop-key KID and
give the file to all nodes again.`,
		Example: `  gamed token --new-key EdDSA --auth-key-file sign.json --public check.json
  gamed token --auth-key-file sign.json --role host --ttl 2h ann
  gamed serve --auth jwt --auth-key-file check.json`,
		Args: cobra.MaximumNArgs(1),
	}
	o := tokenOptions{}
	f := cmd.Flags()
	f.StringVar(&o.file, "auth-key-file", "", "JSON Web Key Set `FILE` (environment GAMED_AUTH_KEY_FILE)")
	f.StringVar(&o.cluster, "cluster", "", "`NAME` of the cluster the token is for (environment GAMED_CLUSTER; default gamed)")
	f.StringVar(&o.role, "role", "", "the bearer's `ROLE` in games, such as host")
	f.DurationVar(&o.ttl, "ttl", time.Hour, "how long the token is good")
	f.StringVar(&o.kid, "kid", "", "`ID` of the key to sign with, or of the new key")
	f.StringVar(&o.newKey, "new-key", "", "make a key of this `ALGORITHM`: HS256 or EdDSA")
	f.StringVar(&o.dropKey, "drop-key", "", "take the key of this `ID` out of the file")
	f.StringVar(&o.public, "public", "", "with --new-key or --drop-key: write the keys that only check to this `FILE`")
	_ = cmd.RegisterFlagCompletionFunc("new-key", cobra.FixedCompletions([]string{auth.HS256, auth.EdDSA}, cobra.ShellCompDirectiveNoFileComp))
	out := addOutput(cmd)
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if err := out.check(); err != nil {
			return err
		}
		for _, d := range []struct {
			v                *string
			variable, absent string
		}{{&o.file, "GAMED_AUTH_KEY_FILE", ""}, {&o.cluster, "GAMED_CLUSTER", config.Default().Cluster}} {
			if *d.v == "" {
				*d.v = e.getenv(d.variable)
			}
			if *d.v == "" {
				*d.v = d.absent
			}
		}
		switch changes := o.newKey != "" || o.dropKey != ""; {
		case o.file == "":
			return usage(errors.New("--auth-key-file FILE is missing: the keys that sign; gamed token --new-key EdDSA --auth-key-file FILE makes one"))
		case changes && len(args) > 0:
			return usage(errors.New("--new-key and --drop-key change the keys and make no token: leave PLAYER out"))
		case changes:
			return o.change(e, out)
		case len(args) == 0:
			return usage(errors.New("PLAYER is missing: whose token? (see gamed token --help)"))
		}
		return o.mint(e, out, args[0])
	})
	return cmd
}

// mint prints a token.
func (o *tokenOptions) mint(e *env, out *output, player string) error {
	keys, err := auth.ReadKeys(o.file)
	if err != nil {
		return usage(err)
	}
	i := slices.IndexFunc(keys, func(k *auth.Key) bool { return k.Signs() && (o.kid == "" || k.ID == o.kid) })
	if i < 0 {
		return usage(fmt.Errorf("%s has no key %s that signs: the half that only checks is for nodes", o.file, o.kid))
	}
	now := time.Now()
	token, err := auth.Mint(keys[i], o.cluster, auth.Claims{Player: player, Role: o.role}, now, now.Add(o.ttl))
	if err != nil {
		return usage(err)
	}
	v := map[string]any{"token": token, "player": player, "role": o.role, "cluster": o.cluster, "kid": keys[i].ID, "expires": now.Add(o.ttl).UTC().Truncate(time.Second)}
	return out.print(e.stdout, v, func(w io.Writer) { fmt.Fprintln(w, token) })
}

// change makes or drops a key.
func (o *tokenOptions) change(e *env, out *output) error {
	keys, err := auth.ReadKeys(o.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return usage(err)
	}
	if o.dropKey != "" {
		before := len(keys)
		if keys = slices.DeleteFunc(keys, func(k *auth.Key) bool { return k.ID == o.dropKey }); len(keys) == before || len(keys) == 0 {
			return usage(fmt.Errorf("%s has no key %q, or no other one", o.file, o.dropKey))
		}
	}
	if o.newKey != "" {
		k, err := auth.NewKey(o.newKey, o.kid)
		if err != nil {
			return usage(err)
		}
		keys = append([]*auth.Key{k}, keys...)
	}
	if err := auth.WriteKeys(o.file, keys); err != nil {
		return usage(err)
	}
	if o.public != "" {
		var public []*auth.Key
		for _, k := range keys {
			if half := k.Public(); half != nil {
				public = append(public, half)
			}
		}
		if len(public) < len(keys) {
			return usage(errors.New("--public: an HS256 key has no half that only checks; give nodes the file itself"))
		}
		if err := auth.WriteKeys(o.public, public); err != nil {
			return usage(err)
		}
	}
	type row struct {
		KID   string `json:"kid"`
		Alg   string `json:"alg"`
		Signs bool   `json:"signs"`
	}
	rows := []row{}
	for _, k := range keys {
		rows = append(rows, row{k.ID, k.Alg, k.Signs()})
	}
	return out.print(e.stdout, rows, func(w io.Writer) {
		for _, r := range rows {
			fmt.Fprintln(w, r.KID, r.Alg)
		}
	})
}
