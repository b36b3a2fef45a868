package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// output is the -o flag of a command.
type output struct {
	format string
	forms  []string
}

func addOutput(cmd *cobra.Command, forms ...string) *output {
	o := &output{forms: append([]string{"text", "json"}, forms...)}
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "form of the answer: `"+strings.Join(o.forms, "|")+"`")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.forms, cobra.ShellCompDirectiveNoFileComp))
	return o
}

// check refuses a form that the command does not have.
func (o *output) check() error {
	if !slices.Contains(o.forms, o.format) {
		return usage(fmt.Errorf("--output %q: want %s", o.format, strings.Join(o.forms, " or ")))
	}
	return nil
}

// print writes v as JSON, or calls text.
func (o *output) print(w io.Writer, v any, text func(io.Writer)) error {
	if o.format == "json" {
		return printJSON(w, v)
	}
	text(w)
	return nil
}

// printJSON writes v as one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// columns writes rows under a heading, aligned; cells are separated by tabs.
func columns(w io.Writer, heading string, rows []string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, heading)
	for _, r := range rows {
		fmt.Fprintln(tw, r)
	}
	_ = tw.Flush()
}

// watching is the --watch flag: do it again and again.
type watching struct{ every time.Duration }

func addWatch(cmd *cobra.Command) *watching {
	w := &watching{}
	cmd.Flags().DurationVarP(&w.every, "watch", "w", 0, "show it again every `TIME` (without a value: 2s) until interrupted")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	return w
}

// repeat calls f once, or every so often until the first signal. f writes to w; a screen is cleared before each time.
func (w *watching) repeat(e *env, o *output, f func(out io.Writer) error) error {
	if err := o.check(); err != nil {
		return err
	}
	if w.every == 0 {
		return f(e.stdout)
	}
	if w.every < 100*time.Millisecond {
		return usage(fmt.Errorf("--watch %v: want at least 100ms", w.every))
	}
	ctx, cancel := e.untilSignal()
	defer cancel()
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		var page strings.Builder
		if o.format == "text" && isTerminal(e.stdout) {
			page.WriteString(clearScreen)
		}
		if err := f(&page); err != nil {
			return err
		}
		if _, err := io.WriteString(e.stdout, page.String()); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

const clearScreen = "\x1b[H\x1b[2J"

// isTerminal says whether somebody looks at w or types into it.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
