package archtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Fenced blocks of README.md with the info string "sh run" are run by TestReadmeCommands, each in one bash, in a copy of the
// tree; they must be quick and end by themselves. Those with "sh ci" (the test command) are run by .ci/run alone. Others are
// only looked at: the make targets they name must exist.
const blockLimit = 2 * time.Minute

var block = regexp.MustCompile("(?ms)^```(sh[^\n]*)\n(.*?)^```$")

type shell struct {
	info string // "sh", "sh run", "sh ci"
	text string
}

func shells(text string) []shell {
	var out []shell
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		out = append(out, shell{info: strings.TrimSpace(m[1]), text: m[2]})
	}
	return out
}

var (
	makeCall   = regexp.MustCompile(`(?m)^\s*(?:\$ )?make ([a-z][a-z-]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

// judgeTargets: a make target that the README names must be in the Makefile.
func judgeTargets(readme, makefile string) (findings []string) {
	targets := map[string]bool{}
	for _, m := range makeTarget.FindAllStringSubmatch(makefile, -1) {
		targets[m[1]] = true
	}
	for _, b := range shells(readme) {
		for _, m := range makeCall.FindAllStringSubmatch(b.text, -1) {
			if !targets[m[1]] {
				findings = append(findings, fmt.Sprintf("README.md says make %s, which the Makefile does not have", m[1]))
			}
		}
	}
	return findings
}

// run runs a block in dir and gives its error with what it printed. Nothing it started is left running.
func (b shell) run(ctx context.Context, dir string) error {
	ctx, stop := context.WithTimeout(ctx, blockLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", b.text)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left in the background
	}
	if err != nil {
		return fmt.Errorf("%w\n%s\nprinted:\n%s", err, b.text, out.String())
	}
	return nil
}

// clone copies the files that git knows or would add.
func clone(t *testing.T) string {
	t.Helper()
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the tree's files: %v", err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(root, name), filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatalf("copy the tree: %v", err)
		}
	}
	return dir
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func TestReadmeCommands(t *testing.T) {
	readme := read(t, "README.md")
	report(t, judgeTargets(readme, read(t, "Makefile")))
	var dir string
	ci := 0
	for i, b := range shells(readme) {
		switch b.info {
		case "sh ci":
			ci++
		case "sh run":
			if dir == "" {
				dir = clone(t)
			}
			t.Run(fmt.Sprintf("block %d", i+1), func(t *testing.T) {
				if err := b.run(t.Context(), dir); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	if dir == "" {
		t.Error("README.md has no block marked ```sh run: its commands are not tested")
	}
	if ci == 0 {
		t.Error("README.md has no block marked ```sh ci: the test command is not tested")
	}
}

func TestReadmeRulesBite(t *testing.T) {
	text := "```sh run\nmake build\nexit 3\n```\n```sh\nmake nowhere\n$ make check\n```\n```json\nmake neither\n```\n"
	blocks := shells(text)
	if len(blocks) != 2 || blocks[0].info != "sh run" || blocks[1].info != "sh" {
		t.Fatalf("blocks %+v", blocks)
	}
	want(t, judgeTargets(text, "build: ## x\ncheck: build\n"), "make nowhere")
	dir := t.TempDir()
	if err := (shell{text: "echo hi; exit 3"}).run(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "hi") {
		t.Errorf("a failing block: %v", err)
	}
	if err := (shell{text: "false | true"}).run(t.Context(), dir); err == nil {
		t.Error("a failing pipe was taken for success")
	}
	if err := (shell{text: "test \"$(pwd -P)\" = \"$(cd '" + dir + "' && pwd -P)\""}).run(t.Context(), dir); err != nil {
		t.Errorf("a block that succeeds: %v", err)
	}
}
