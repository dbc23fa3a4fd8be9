package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const example = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"required": ["mode"],
	"additionalProperties": false,
	"properties": {
		"mode": {"enum": ["fast", "safe", 3]},
		"depth": {"type": "integer", "minimum": 1, "maximum": 9, "default": 4},
		"ratio": {"type": ["number", "null"]},
		"name": {"type": "string", "minLength": 2, "pattern": "^[a-zé]+$"},
		"families": {"type": "array", "items": {"type": "string", "minLength": 1}},
		"rules": {"type": "object", "additionalProperties": {"type": "object", "required": ["keep"],
			"properties": {"keep": {"type": "boolean"}}}},
		"old": false,
		"any": true
	}
}`

func TestValidate(t *testing.T) {
	for config, want := range map[string]string{
		`{"mode": "fast"}`: "",
		`{"mode": 3.0, "depth": 9, "ratio": null, "name": "éa", "families": ["a"], "rules": {"x": {"keep": true, "more": 1}}, "any": [{}]}`: "",

		`{}`:                                       "mode is missing",
		`[]`:                                       "the configuration is array, want object",
		`{"mode": "slow"}`:                         `mode is "slow", want one of ["fast","safe",3]`,
		`{"mode": 3, "depth": 0}`:                  "depth is 0, at least 1 is wanted",
		`{"mode": 3, "depth": 9.5}`:                "depth is number, want integer",
		`{"mode": 3, "depth": 10}`:                 "depth is 10, at most 9 is allowed",
		`{"mode": 3, "depth": "4"}`:                "depth is string, want integer",
		`{"mode": 3, "ratio": "x"}`:                "ratio is string, want number or null",
		`{"mode": 3, "name": "é"}`:                 `name is "é", at least 2 characters are wanted`,
		`{"mode": 3, "name": "AB"}`:                `name is "AB", which does not match ^[a-zé]+$`,
		`{"mode": 3, "families": ["", 1]}`:         `families[0] is "", at least 1 characters are wanted`,
		`{"mode": 3, "families": ["a", 1]}`:        "families[1] is number, want string",
		`{"mode": 3, "rules": {"x": {}}}`:          "rules.x.keep is missing",
		`{"mode": 3, "rules": {"x": {"keep": 1}}}`: "rules.x.keep is number, want boolean",
		`{"mode": 3, "old": 1}`:                    "old is not allowed",
		`{"mode": 3, "dpeth": 1}`:                  "dpeth is not a key of this strategy; it knows any, depth, families, mode, name, old, ratio, rules",
		`{"mode"`:                                  "configuration: unexpected end of JSON input",
	} {
		err := Validate(json.RawMessage(example), json.RawMessage(config))
		if want == "" {
			assert.NoError(t, err, config)
			continue
		}
		assert.EqualError(t, err, want, config)
	}
}

func TestWithoutSchemaEverythingGoes(t *testing.T) {
	for _, schema := range []string{"", " ", "null", "true", "{}", `{"default": {}, "oneOf": 7, "title": "x"}`} {
		assert.NoError(t, Validate(json.RawMessage(schema), json.RawMessage(`{"a": [1]}`)), schema)
	}
}

func TestSchemaThatIsNone(t *testing.T) {
	for _, schema := range []string{`{`, `7`, `"object"`, `{"type": 3}`, `{"properties": []}`, `{"required": "mode"}`, `{"minimum": "1"}`,
		`{"properties": {"a": 7}}`, `{"properties": {"a": {"pattern": "("}}}`} {
		assert.ErrorContains(t, Validate(json.RawMessage(schema), json.RawMessage(`{"a": "x"}`)), "the module's schema: ", schema)
	}
	assert.EqualError(t, Validate(json.RawMessage(`{"required": ["\u001b[2J"]}`), json.RawMessage("{}")), "\uFFFD[2J is missing")
	assert.EqualError(t, Validate(json.RawMessage("false"), json.RawMessage("{}")), "the configuration is not allowed")
}

func TestCheck(t *testing.T) {
	for _, good := range []string{"", "null", "true", "false", "{}", example, `{"default": {}, "oneOf": 7}`} {
		assert.NoError(t, Check(json.RawMessage(good)), good)
	}
	const types = ", want one of array, boolean, integer, null, number, object, string"
	for bad, want := range map[string]string{
		`{"type": "objct"}`: `type is "objct"` + types,
		`{"properties": {"a": {"type": ["null", "int"]}}}`:           `properties.a.type is "int"` + types,
		`{"items": {"additionalProperties": {"type": "\u001b[2J"}}}`: `items.additionalProperties.type is "\x1b[2J"` + types,
		`{"properties": {"a": {"pattern": "("}}}`:                    "properties.a.pattern is wrong: error parsing regexp: missing closing ): `(`",
	} {
		assert.EqualError(t, Check(json.RawMessage(bad)), want)
	}
	assert.ErrorContains(t, Check(json.RawMessage("7")), "the module's schema: ")
}

func FuzzValidate(f *testing.F) {
	for _, config := range []string{`{"mode": "fast"}`, `{"mode": 3, "rules": {"x": {}}}`, `[[1e300]]`, `{"name": "é"}`} {
		f.Add(example, config)
	}
	deep := strings.Repeat(`{"items":`, 2000) + "{}" + strings.Repeat("}", 2000)
	require.NoError(f, Validate(json.RawMessage(deep), json.RawMessage(strings.Repeat("[", 2000)+strings.Repeat("]", 2000))))
	f.Add(deep, "[[[]]]")
	f.Fuzz(func(t *testing.T, schema, config string) {
		first := Validate(json.RawMessage(schema), json.RawMessage(config))
		assert.Equal(t, first, Validate(json.RawMessage(schema), json.RawMessage(config)), "the same each time")
		if first == nil && json.Valid([]byte(schema)) && strings.TrimSpace(schema) != "" {
			assert.True(t, json.Valid([]byte(config)))
		}
	})
}
