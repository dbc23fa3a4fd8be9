package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

//go:embed templates
var templates embed.FS

// language is one that strategies can be written in.
type language struct {
	Lang     string // of --lang
	Language string // for people
	Main     string // file that holds the strategy
	SDK      string // file or folder of the SDK
	SDKIs    string // what that is
	Needs    string // what building takes
	first    string // step before the first build; "" for none
}

var languages = []language{
	{"go", "Go", "main.go", "sdk", "rocksnap's packages `abi` and `abi/guest`", "Go 1.26 or newer", ""},
	{"rust", "Rust", "main.rs", "rocksnap_v1.rs", "the functions and records of the host",
		"rustc with the target wasm32-unknown-unknown (Debian: `rustc libstd-rust-dev-wasm32`)", ""},
	{"c", "C", "main.c", "rocksnap_v1.h", "the functions and records of the host", "clang and lld", ""},
	{"as", "AssemblyScript", "main.ts", "rocksnap_v1.ts", "the functions and records of the host",
		"Node.js 18 or newer, with npm", "npm install"},
	{"wat", "WebAssembly text", "main.wat", "rocksnap_v1.wat", "all functions of the host, in a module that does nothing",
		"wat2wasm (Debian: `wabt`)", ""},
}

// goVersion is the oldest version of Go that the SDK can be built with.
const goVersion = "1.26"

// scaffold is what the templates of a new strategy know.
type scaffold struct {
	language
	Name  string
	Go    string // version of the language, as in go.mod
	Build string // rules of the Makefile
	Steps []string
}

func (c *cli) newPluginVerb() *cobra.Command {
	var lang string
	cmd := verb("new NAME", "Make a folder with a new strategy", `Makes a folder NAME with a strategy that works as it is: its source, a Makefile
that builds, tests and runs it, a configuration to try it with, and the SDK of
its language, so that it builds without a network (as: after 'npm install').

Exit status: 0 ok, 1 failed, 2 usage.`,
		`  rocksnap plugin new --lang go weekly
  cd weekly && make && make test`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			i := slices.IndexFunc(languages, func(l language) bool { return l.Lang == lang })
			if i < 0 {
				return usage(cmd, "--lang must be one of go, rust, c, as and wat, not %q", lang)
			}
			if err := checkNewName(args[0]); err != nil {
				return err
			}
			return c.newPlugin(languages[i], args[0])
		})
	cmd.Flags().StringVar(&lang, "lang", "", "`LANGUAGE`: go, rust, c, as (AssemblyScript) or wat")
	return cmd
}

// newName is what a folder, a file, a Go module and an npm package may all be
// called, and a strategy too.
var newName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

func checkNewName(name string) error {
	if !newName.MatchString(name) {
		return &host.Problem{Code: host.CodeUsage, Err: fmt.Errorf("%q cannot be the name of a new strategy", name),
			Hint: `use 1 to 64 of a-z, 0-9 and "-", starting with a letter, as in my-strategy`}
	}
	if slices.Contains(config.Builtin(), name) {
		return &host.Problem{Code: host.CodeUsage, Err: fmt.Errorf("%s is a strategy of rocksnap itself", name),
			Hint: "choose another name, as in my-" + name}
	}
	return nil
}

type newPluginDocument struct {
	Schema string   `json:"schema"`
	Name   string   `json:"name"`
	Lang   string   `json:"lang"`
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
	Next   []string `json:"next"` // commands
}

func (c *cli) newPlugin(l language, name string) error {
	s := scaffold{language: l, Name: name, Go: goVersion, Steps: steps(l)}
	files, err := s.files()
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if err := writeNew(folder, files); err != nil {
		return fmt.Errorf("make strategy %s: %w", name, err)
	}
	next := append([]string{"cd " + name}, s.Steps...)
	if c.json {
		return c.print(newPluginDocument{"rocksnap.plugin-new/1", name, l.Lang, folder, sortedNames(files), next})
	}
	fmt.Fprintf(c.out, "made strategy %s in %s, %s; %s needs %s\n\nnext:\n", name, folder, count(len(files), "file"), l.Language,
		strings.ReplaceAll(l.Needs, "`", ""))
	for _, step := range next {
		fmt.Fprintf(c.out, "  %s\n", step)
	}
	return nil
}

func steps(l language) []string {
	all := []string{"make", "make test", "make run DB=FOLDER"}
	if l.first != "" {
		all = append([]string{l.first}, all...)
	}
	return all
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// files returns the content of every file of the new folder, by its path there.
func (s scaffold) files() (map[string][]byte, error) {
	rules, err := s.render("templates/" + s.Lang + "/build.mk.tmpl")
	if err != nil {
		return nil, err
	}
	s.Build = string(rules)
	files := make(map[string][]byte)
	for _, folder := range []string{"common", s.Lang} {
		found, err := fs.Glob(templates, "templates/"+folder+"/*.tmpl")
		if err != nil {
			return nil, err
		}
		for _, from := range found {
			name := strings.TrimSuffix(path.Base(from), ".tmpl")
			if name == "build.mk" {
				continue
			}
			if name == "gitignore" {
				name = ".gitignore"
			}
			if files[name], err = s.render(from); err != nil {
				return nil, err
			}
		}
	}
	return files, s.addSDK(files)
}

func (s scaffold) render(from string) ([]byte, error) {
	t, err := template.ParseFS(templates, from)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, s)
	return text.Bytes(), err
}

// addSDK adds the one file of the SDK, or for Go a module of the two packages.
func (s scaffold) addSDK(files map[string][]byte) (err error) {
	if s.Lang != "go" {
		files[s.SDK], err = abi.Source.ReadFile(s.SDK)
		return err
	}
	files["sdk/go.mod"] = fmt.Appendf(nil, "module github.com/rocksnap/rocksnap\n\ngo %s\n", s.Go)
	return fs.WalkDir(abi.Source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".go" {
			return err
		}
		files["sdk/abi/"+name], err = abi.Source.ReadFile(name)
		return err
	})
}

// writeNew writes files into a folder that does not exist yet or is empty.
func writeNew(folder string, files map[string][]byte) error {
	there, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(there) > 0 {
		return &host.Problem{Code: host.CodeFailed, Err: fmt.Errorf("%s is not empty", folder),
			Hint: "choose another name, or another folder to be in"}
	}
	for name, content := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
