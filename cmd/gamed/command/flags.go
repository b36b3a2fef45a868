package command

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gamed/internal/config"
)

// given collects what a flag was told; config.Load parses it, so that all sources are judged alike.
type given struct {
	values []string
	field  config.Field
}

func (g *given) String() string { return g.field.Default }
func (g *given) Type() string   { return g.field.Arg }
func (g *given) Set(v string) error {
	g.values = append(g.values, v)
	return nil
}

// addConfigFlags gives cmd a flag for every setting of a node.
func addConfigFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.String("config", "", "YAML `FILE` with settings (environment GAMED_CONFIG)")
	for _, f := range config.Fields() {
		flag := flags.VarPF(&given{field: f}, f.Key, "", f.Doc)
		if f.Switch {
			flag.NoOptDefVal = "true"
		}
		if words := strings.Split(f.Arg, "|"); len(words) > 1 {
			_ = cmd.RegisterFlagCompletionFunc(f.Key, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// flagNames are the flags cmd understands.
func flagNames(cmd *cobra.Command) []string {
	var names []string
	for line := range strings.Lines(cmd.Flags().FlagUsages()) {
		if _, rest, ok := strings.Cut(line, "--"); ok {
			names = append(names, rest[:strings.IndexAny(rest+" ", " [=\n")])
		}
	}
	return names
}

// loadConfig reads the configuration from the command's flags, the environment and the file.
func loadConfig(cmd *cobra.Command, e *env) (config.Input, *config.Loaded, error) {
	in := config.Input{Env: e.environ, Flags: map[string][]string{}, File: e.getenv("GAMED_CONFIG")}
	if f := cmd.Flags().Lookup("config"); f.Changed {
		in.File = f.Value.String()
	}
	for _, f := range config.Fields() {
		if flag := cmd.Flags().Lookup(f.Key); flag.Changed {
			in.Flags[f.Key] = slices.Clone(flag.Value.(*given).values)
		}
	}
	l, err := config.Load(in)
	if err != nil {
		return in, nil, usage(err)
	}
	return in, l, nil
}
