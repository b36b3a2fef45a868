package command

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"gamed/internal/config"
)

// setting is a row of `gamed config`.
type setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func newConfig(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "The settings a node would start with, and where each comes from",
		Long: `Takes the flags of "gamed serve", the environment and the file as serve does, checks them and prints the outcome; secrets are
hidden. With -o yaml the answer can be used as --config FILE. Later sources win: default, file, environment, flag.`,
		Example: `  GAMED_EXPECT=3 gamed config --config gamed.yaml --log-level debug
  gamed config -o yaml > gamed.yaml`,
		Args: cobra.NoArgs,
	}
	addConfigFlags(cmd)
	o := addOutput(cmd, "yaml")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		_, l, err := loadConfig(cmd, e)
		if err != nil {
			return err
		}
		var list []setting
		for _, f := range config.Fields() {
			list = append(list, setting{f.Key, f.Value(&l.Config), l.Origin(f.Key).String()})
		}
		if o.format == "yaml" {
			return printYAML(e.stdout, list)
		}
		return o.print(e.stdout, list, func(out io.Writer) {
			rows := make([]string, len(list))
			for i, s := range list {
				f, _ := config.Lookup(s.Key)
				rows[i] = fmt.Sprintf("%s\t%s\t%s", s.Key, f.Show(&l.Config), s.Origin)
			}
			columns(out, "SETTING\tVALUE\tFROM", rows)
		})
	})
	return cmd
}

func printYAML(out io.Writer, list []setting) error {
	for _, s := range list {
		b, err := yaml.MarshalWithOptions(map[string]any{s.Key: s.Value}, yaml.Flow(false))
		if err != nil {
			return fmt.Errorf("write %s: %w", s.Key, err)
		}
		if s.Value == "" {
			b = []byte(s.Key + ":")
		}
		if _, err := fmt.Fprintf(out, "%s # %s\n", strings.TrimSpace(string(b)), s.Origin); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	return nil
}

func newVersion(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "What this program is", Args: cobra.NoArgs}
	o := addOutput(cmd)
	cmd.RunE = action(func(*cobra.Command, []string) error {
		if err := o.check(); err != nil {
			return err
		}
		v := map[string]string{"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
		return o.print(e.stdout, v, func(out io.Writer) {
			fmt.Fprintln(out, "gamed", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
		})
	})
	return cmd
}
