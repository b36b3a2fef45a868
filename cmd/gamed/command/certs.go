package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gamed/internal/auth"
	"gamed/internal/config"
	"gamed/protocol"
)

const day = 24 * time.Hour

func newCerts(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the CA, certificates and keys of a cluster",
		Long: `Makes what nodes prove themselves with. The directory with the CA's key (ca.key) stays with whoever makes certificates; a node gets
ca.pem, its own NAME.pem and NAME.key, and the gossip key. A node's certificate is for its --node name and good for no other.

Nodes read changed files again within seconds, or at SIGHUP; only another --mesh-ca needs a restart.`,
		Example: `  gamed certs ca certs
  gamed certs node certs gamed-1 gamed-2 gamed-3
  gamed certs server certs players game.example 203.0.113.7
  gamed certs gossip-key certs/gossip.key
  gamed certs admin-token certs/admin.tokens --role operator --name ann > ann.token`,
		Args: noSuchCommand,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			return usage(fmt.Errorf("what of? see %s --help", cmd.CommandPath()))
		}),
	}
	cmd.AddCommand(newCertsCA(e), newCertsNode(e), newCertsServer(e), newGossipKey(e), newAdminToken(e))
	return cmd
}

func newCertsCA(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "ca DIR", Short: "Make the CA that nodes trust", Args: cobra.ExactArgs(1),
		Long: "Makes DIR/ca.pem and DIR/ca.key, and DIR itself; a CA that is there is not replaced."}
	days := cmd.Flags().Int("days", 3650, "how many `DAYS` it is good")
	cluster := cmd.Flags().String("cluster", config.Default().Cluster, "`NAME` of the cluster, for people")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		file := filepath.Join(args[0], "ca")
		if _, err := os.Stat(file + ".key"); err == nil {
			return usage(fmt.Errorf("%s.key is there already: certificates of two CAs do not know each other; take another directory", file))
		}
		if err := os.MkdirAll(args[0], 0o700); err != nil {
			return usage(err)
		}
		_, p, err := auth.NewCA(*cluster, time.Duration(*days)*day)
		if err != nil {
			return err
		}
		return written(e, file, p)
	})
	return cmd
}

// written writes a pair and says where.
func written(e *env, file string, p auth.Pair) error {
	if err := p.Write(file); err != nil {
		return usage(err)
	}
	fmt.Fprintln(e.stdout, file+".pem", file+".key")
	return nil
}

func openCA(dir string) (*auth.CA, error) {
	p, err := auth.ReadPair(filepath.Join(dir, "ca"))
	if err == nil {
		var ca *auth.CA
		if ca, err = auth.ParseCA(p); err == nil {
			return ca, nil
		}
	}
	return nil, usage(fmt.Errorf("%w (gamed certs ca %s makes one)", err, dir))
}

func newCertsNode(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "node DIR NAME…", Short: "Make nodes' certificates for the mesh", Args: cobra.MinimumNArgs(2),
		Long: "Makes DIR/NAME.pem and DIR/NAME.key for each node name, signed by the CA in DIR; those that are there are replaced."}
	days := cmd.Flags().Int("days", 365, "how many `DAYS` they are good")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		ca, err := openCA(args[0])
		if err != nil {
			return err
		}
		for _, name := range args[1:] {
			if !protocol.ValidPlayer(name) || name == "ca" {
				return usage(fmt.Errorf("node name %q: want 1 to 64 of A-Z a-z 0-9 _ . - and not ca", name))
			}
			p, err := ca.Node(name, time.Duration(*days)*day)
			if err != nil {
				return usage(err)
			}
			if err := written(e, filepath.Join(args[0], name), p); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func newCertsServer(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "server DIR NAME HOST…", Short: "Make a certificate for the player port", Args: cobra.MinimumNArgs(3),
		Long: `Makes DIR/NAME.pem and DIR/NAME.key for hosts, signed by the CA in DIR: for trying out and for clients that bring ca.pem along. Clients
of the open world want a certificate of a public CA.`}
	days := cmd.Flags().Int("days", 365, "how many `DAYS` it is good")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		ca, err := openCA(args[0])
		if err != nil {
			return err
		}
		if !protocol.ValidPlayer(args[1]) || args[1] == "ca" {
			return usage(fmt.Errorf("%q is no name for a file here", args[1]))
		}
		p, err := ca.Server(time.Duration(*days)*day, args[2:]...)
		if err != nil {
			return usage(err)
		}
		return written(e, filepath.Join(args[0], args[1]), p)
	})
	return cmd
}

func newGossipKey(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "gossip-key FILE", Short: "Make or change the key that gossip is encrypted with", Args: cobra.ExactArgs(1),
		Long: `Makes FILE with a new key. To change the key of a cluster that runs, do each step, give the file to all nodes, and go on when all have
read it (gamed_node_secret_reads_total): --add puts a new key behind the one in use, so that all can read it; --use has it send;
--drop takes the old one out.`}
	add := cmd.Flags().Bool("add", false, "first step: a new key that opens and does not send")
	use := cmd.Flags().Bool("use", false, "second step: the other key sends")
	drop := cmd.Flags().Bool("drop", false, "third step: only the key that sends stays")
	cmd.MarkFlagsMutuallyExclusive("add", "use", "drop")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		keys, err := changedKeys(args[0], *add, *use, *drop)
		if err != nil {
			return usage(err)
		}
		if err := auth.WriteFile(args[0], []byte(keys.Text())); err != nil {
			return usage(err)
		}
		fmt.Fprintf(e.stdout, "%s: %s\n", args[0], plural(int64(len(keys)), "key"))
		return nil
	})
	return cmd
}

// changedKeys are the gossip keys of a file after a step.
func changedKeys(file string, add, use, drop bool) (auth.GossipKeys, error) {
	if !add && !use && !drop {
		if _, err := os.Stat(file); err == nil {
			return nil, fmt.Errorf("%s is there already: --add, --use and --drop change it step by step", file)
		}
		return auth.GossipKeys{auth.NewGossipKey()}, nil
	}
	text, err := auth.ReadText(file)
	if err != nil {
		return nil, err
	}
	keys, err := auth.ParseGossipKeys(text)
	switch {
	case err != nil:
		return nil, err
	case add && len(keys) == 2, !add && len(keys) == 1:
		return nil, fmt.Errorf("%s has %s: the steps are --add, --use, --drop", file, plural(int64(len(keys)), "key"))
	case add:
		return append(keys, auth.NewGossipKey()), nil
	case use:
		return auth.GossipKeys{keys[1], keys[0]}, nil
	}
	return keys[:1], nil
}

func newAdminToken(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "admin-token FILE", Short: "Make an operator's token for the admin port", Args: cobra.ExactArgs(1),
		Long: `Prints a new token and adds its line to FILE, which --admin-token-file of the nodes names. FILE has the token's hash only. Commands
take the token from the file named by their --admin-token-file or GAMED_ADMIN_TOKEN_FILE. Roles: a viewer looks, an operator drains,
kicks and closes too, an admin takes profiles too. To withdraw a token, delete its line.`}
	role := cmd.Flags().String("role", "viewer", "what the bearer may do: viewer, operator or admin (`ROLE`)")
	name := cmd.Flags().String("name", "", "`NAME` of the bearer, for the audit log")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(auth.OperatorRoles, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		if !protocol.ValidPlayer(*name) {
			return usage(errors.New("--name NAME is missing, or not 1 to 64 of A-Z a-z 0-9 _ . -"))
		}
		text, err := auth.ReadText(args[0])
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return usage(err)
		}
		token := auth.NewOperatorToken()
		text += auth.OperatorLine(*role, *name, token) + "\n"
		if _, err := auth.ParseOperators(text); err != nil {
			return usage(err)
		}
		if err := auth.WriteFile(args[0], []byte(text)); err != nil {
			return usage(err)
		}
		fmt.Fprintln(e.stdout, token)
		return nil
	})
	return cmd
}
