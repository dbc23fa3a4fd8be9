package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"iter"
	"path/filepath"
	"strings"
)

// group is a block of constants as it stands in package abi.
type group struct {
	Type   string // named type of its constants; "" when they are plain numbers
	Doc    string
	Consts []constantValue
}

// constantValue is an exported integer constant.
type constantValue struct {
	Name  string // as in Go
	Type  string // int32, uint16 or uint32
	Value uint64
	Doc   string
}

// source is the parsed text of package abi. The constants are read from it, so
// that a value and its comment stand in one place and none can be forgotten.
type source struct {
	files []*ast.File
	info  types.Info
}

func parse(dir string) (*source, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	s := &source{info: types.Info{Defs: make(map[*ast.Ident]types.Object)}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, file)
	}
	// No constant depends on another package, so imports are not loaded, which
	// would take seconds. A constant that does comes out without a value.
	check := types.Config{IgnoreFuncBodies: true, Error: func(error) {}}
	check.Check(dir, fset, s.files, &s.info)
	return s, nil
}

// decls yields the top-level declarations of one kind, in the order of files.
func (s *source) decls(tok token.Token) iter.Seq[*ast.GenDecl] {
	return func(yield func(*ast.GenDecl) bool) {
		for _, file := range s.files {
			for _, d := range file.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == tok && !yield(g) {
					return
				}
			}
		}
	}
}

// groups returns the blocks of exported integer constants.
func (s *source) groups() ([]group, error) {
	var groups []group
	for d := range s.decls(token.CONST) {
		g := group{Doc: prose(d.Doc)}
		for _, spec := range d.Specs {
			spec := spec.(*ast.ValueSpec)
			for _, ident := range spec.Names {
				if err := g.add(s.info.Defs[ident].(*types.Const), spec); err != nil {
					return nil, err
				}
			}
		}
		if len(g.Consts) > 0 {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// add enters a constant unless it has no place on the wire: it is unexported,
// no number, or of type Type, which describes the table itself.
func (g *group) add(c *types.Const, spec *ast.ValueSpec) error {
	if c.Val().Kind() == constant.Unknown {
		return fmt.Errorf("constant %s has no value without imports", c.Name())
	}
	if !c.Exported() || c.Val().Kind() != constant.Int {
		return nil
	}
	width := "uint32"
	if basic, ok := c.Type().Underlying().(*types.Basic); ok && basic.Info()&types.IsUntyped == 0 {
		width = basic.Name()
	}
	if named, ok := c.Type().(*types.Named); ok {
		if g.Type = named.Obj().Name(); g.Type == "Type" {
			return nil
		}
	}
	value, exact := constant.Uint64Val(c.Val())
	if !exact {
		return fmt.Errorf("constant %s does not fit an unsigned number", c.Name())
	}
	doc := prose(spec.Comment)
	if doc == "" {
		doc = prose(spec.Doc)
	}
	g.Consts = append(g.Consts, constantValue{c.Name(), width, value, doc})
	return nil
}

// typeDoc returns the doc comment of a type.
func (s *source) typeDoc(name string) string {
	for d := range s.decls(token.TYPE) {
		if spec := d.Specs[0].(*ast.TypeSpec); spec.Name.Name == name {
			return prose(d.Doc)
		}
	}
	return ""
}

// prose returns the first sentence of a comment, without the brackets of doc
// links.
func prose(c *ast.CommentGroup) string {
	text := strings.Join(strings.Fields(c.Text()), " ")
	if sentence, _, more := strings.Cut(text, ". "); more {
		text = sentence + "."
	}
	return strings.NewReplacer("[", "", "]", "").Replace(text)
}
