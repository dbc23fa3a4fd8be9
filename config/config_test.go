package config

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the expected errors in testdata/bad")

func files(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, names, pattern)
	return names
}

// TestBadFiles compares every error, with its hint, with the text beside the
// file.
func TestBadFiles(t *testing.T) {
	for _, name := range files(t, "testdata/bad/*.toml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			_, err = Parse("rocksnap.toml", text, nil)
			var problems Errors
			require.ErrorAs(t, err, &problems)
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(p.Error() + "\n")
				if p.Hint != "" {
					got.WriteString("\t" + p.Hint + "\n")
				}
			}
			expected := strings.TrimSuffix(name, ".toml") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(expected, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(expected)
			require.NoError(t, err)
			assert.Equal(t, string(want), got.String())
			assert.NotContains(t, strings.ToLower(got.String()), "hunter2", "a secret must not be repeated")
			assert.Equal(t, strings.HasPrefix(filepath.Base(name), "secrets"), bytes.Contains(text, []byte("hunter2")), "the name of the file tells")
		})
	}
}

func TestSmallest(t *testing.T) {
	text, err := os.ReadFile("testdata/good/smallest.toml")
	require.NoError(t, err)
	c, err := Parse("/etc/rocksnap/rocksnap.toml", text, nil)
	require.NoError(t, err)

	assert.Equal(t, "/etc/rocksnap", c.Dir())
	assert.Equal(t, Database{Path: "/etc/rocksnap/data/orders", Mode: Own}, c.Database)
	assert.Equal(t, "/etc/rocksnap/repo", c.Repository.Dir())
	assert.Equal(t, "orders", c.Repository.Name)
	assert.Equal(t, 4, c.Repository.Transfer.Workers)
	assert.Equal(t, Snapshot{Strategy: "native-full", Flush: FlushAuto}, c.Snapshot)
	assert.Equal(t, Plugins{Memory: 1 << 30}, c.Plugins)
	assert.Equal(t, Retention{Grace: Duration(time.Hour)}, c.Retention)
	assert.Nil(t, c.KeyGroups)
	assert.Equal(t, Builtin(), sortedKeys(c.Strategies))
	assert.Equal(t, Strategy{
		Module: "native-full.wasm",
		Allow:  []string{"checkpoint", "upload"},
		Limits: Limits{
			Memory: 64 << 20, Stack: 16 << 20, Table: 65536,
			Compile: Duration(2 * time.Minute), Prepare: Duration(10 * time.Second), Snapshot: Duration(24 * time.Hour),
			Control: Duration(30 * time.Second), Grace: Duration(2 * time.Second),
			Calls: 200000, Handles: 64, Log: 256 << 10, State: 1 << 20,
		},
		Isolation: IsolationRuntime,
		OnError:   OnError{Mode: Fail},
		Config:    []byte("{}"),
	}, c.Strategies["native-full"])
}

// good reads a file of testdata where it is, so that it finds the files it names.
func good(t testing.TB, name string) *Config {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	path, err := filepath.Abs(name)
	require.NoError(t, err)
	c, err := Parse(path, text, nil)
	require.NoError(t, err)
	return c
}

// TestEverythingIsThere keeps the file that shows every key complete.
func TestEverythingIsThere(t *testing.T) {
	c := good(t, "testdata/good/everything.toml")
	incremental := c.Strategies["incremental"]
	for _, f := range slices.Concat(c.fields(), incremental.fields("incremental")) {
		if f.key.String() != "strategies.incremental.allow_unpinned" { // makes no sense beside a pin
			assert.True(t, c.isGiven(f), f.key.String())
		}
	}
}

func TestEverything(t *testing.T) {
	c := good(t, "testdata/good/everything.toml")
	assert.Equal(t, Database{Path: "/srv/data/db", Mode: ReadOnly, Shard: 3}, c.Database)
	assert.Equal(t, Repository{
		URL: "s3://acme-snapshots/orders/eu", Name: "orders", Endpoint: "https://s3.example.com:9000", Region: "eu-west-1",
		PathStyle: true, CAFile: filepath.Join(c.Dir(), "ca.pem"),
		Transfer: Transfer{Workers: 2, RateLimit: 200 << 20, UploadLimit: 50e6, DownloadLimit: 0, Requests: 12, Memory: 64 << 20},
		Encryption: Encryption{
			Recipients: []string{
				"age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
				"age1pppppppppppppppppppppppppppppppppppppppppppppppppppppppppp",
			},
			IdentityFile: filepath.Join(c.Dir(), "key.txt"),
		},
		Pack: &Pack{Below: 512 << 10, Into: 16 << 20, MaxSpaceAmplification: 3},
	}, c.Repository)
	assert.Equal(t, FlushNever, c.Snapshot.Flush)
	assert.Equal(t, Local{Keep: 2}, c.Local)
	assert.Equal(t, &KeyGroups{Count: 128, Range: KeyRange{32, 63}}, c.KeyGroups)
	assert.Equal(t, map[string]Family{
		"sessions":       {TTL: &TTL{Format: TTLRocksDB, Seconds: 3600}},
		"by \"user\".id": {TTL: &TTL{Format: TTLMSPrefix, Seconds: 1<<31 - 1}},
	}, c.Families)
	assert.Equal(t, Retention{
		KeepLast: 7, KeepHourly: 24, KeepDaily: 14, KeepWeekly: 8, KeepMonthly: 12, KeepYearly: 3,
		KeepWithin: Duration(36 * time.Hour), KeepLabel: []string{"release", "env=prod"}, Grace: Duration(90 * time.Minute),
	}, c.Retention)
	incremental := c.Strategies["incremental"]
	assert.Equal(t, strings.Repeat("0123456789abcdef", 4), incremental.SHA256)
	assert.JSONEq(t, `{"full_every": 0}`, string(incremental.Config))
	assert.Equal(t, Plugins{Memory: 2 << 30, Keys: []string{"ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}, RequireSignature: true}, c.Plugins)
	assert.Equal(t, []string{"ed25519:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="}, incremental.Keys)
	assert.Equal(t, IsolationProcess, incremental.Isolation)
	assert.Equal(t, OnError{
		Mode: Fallback, To: "redact", Attempts: 2, Backoff: Duration(5 * time.Second), BackoffLimit: Duration(2 * time.Minute),
		TripAfter: 10, CoolDown: Duration(time.Hour),
	}, incremental.OnError)
	assert.Equal(t, Limits{
		Memory: 128 << 20, Stack: 1 << 20, Table: 0, Compile: Duration(time.Second), Prepare: Duration(time.Second),
		Snapshot: Duration(time.Hour), Control: Duration(time.Second), Grace: 0, Calls: 1000, Handles: 1, Log: 64 << 20, State: 0,
	}, incremental.Limits)
	redact := c.Strategies["redact"]
	assert.Equal(t, "native-full", redact.OnError.To)
	assert.Equal(t, "../modules/redact.wasm", redact.Module)
	assert.True(t, redact.AllowUnpinned)
	assert.Equal(t, []string{"scan", "stream"}, redact.Allow)
	assert.Equal(t, Size(32<<20), redact.Limits.Memory)
	assert.JSONEq(t, `{
		"key prefixes": ["a=b", "c]", "d \"quoted\" e"], "ratio": 1, "text": "<é\u007f>",
		"rules": [{"field": "card.number", "with": {"text": "#", "times": 4}}, {"field": "name"}]
	}`, string(redact.Config))
}

func minimal(more string) []byte {
	return []byte("version = 1\ndatabase.path = \"db\"\nrepository.url = \"file:repo\"\nsnapshot.strategy = \"incremental\"\n" + more)
}

func TestKeyGroupsDefaultToAll(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal("keygroups.count = 32768"), nil)
	require.NoError(t, err)
	assert.Equal(t, KeyRange{0, 32767}, c.KeyGroups.Range)
}

// A module that only bears a built-in strategy's name must not get its grants.
func TestBuiltinGrants(t *testing.T) {
	for more, want := range map[string][]string{
		`config.full_every = 3`:                         {"checkpoint", "upload", "reuse", "state"},
		`module = "other.wasm"`:                         nil,
		"module = \"other.wasm\"\nallow = [\"upload\"]": {"upload"},
		`allow = []`:                                    {},
	} {
		c, err := Parse("rocksnap.toml", minimal("[strategies.incremental]\n"+more), nil)
		require.NoError(t, err)
		assert.Equal(t, want, c.Strategies["incremental"].Allow, more)
	}
}

func TestSelect(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal(""), nil)
	require.NoError(t, err)
	require.NoError(t, c.Select("canonical", "--strategy"))
	assert.Equal(t, "canonical", c.Snapshot.Strategy)
	assert.Contains(t, c.Effective(), Setting{"snapshot.strategy", `"canonical"`, "--strategy"})

	err = c.Select("cannonical", "--strategy")
	var problem *Error
	require.ErrorAs(t, err, &problem)
	assert.EqualError(t, err, `--strategy: there is no strategy named "cannonical"`)
	assert.Equal(t, "did you mean canonical?", problem.Hint)
	assert.Equal(t, "canonical", c.Snapshot.Strategy)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("rocksnap.toml", minimal(""), 0o644))
	t.Setenv("ROCKSNAP_SNAPSHOT_FLUSH", "always")
	c, err := Load("rocksnap.toml")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "rocksnap.toml"), c.Path)
	assert.Equal(t, filepath.Join(dir, "db"), c.Database.Path)
	assert.Equal(t, filepath.Join(dir, "repo"), c.Repository.Dir())
	assert.Equal(t, FlushAlways, c.Snapshot.Flush)
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("large.toml", make([]byte, maxFile+1), 0o644))
	for _, test := range []struct {
		path, message string
		cause         error
		hint          string
	}{
		{"none.toml", "none.toml: no such file or directory", fs.ErrNotExist, "name the file with --config; README.md shows the smallest one"},
		{".", ".: is a directory", syscall.EISDIR, "did you mean rocksnap.toml?"},
		{"large.toml", "large.toml: larger than 1MiB", nil, ""},
	} {
		_, err := Load(test.path)
		require.EqualError(t, err, test.message)
		var problem *Error
		require.ErrorAs(t, err, &problem)
		assert.Equal(t, test.hint, problem.Hint)
		if test.cause != nil {
			assert.ErrorIs(t, err, test.cause)
		}
	}
}

func TestEnvironment(t *testing.T) {
	c, err := Parse("/d/rocksnap.toml", minimal("strategies.my-own = { module = \"m\" }\ncolumn_families.my-own.ttl = { format = \"rocksdb\" }"), []string{
		"HOME=/root",
		"ROCKSNAP_CONFIG=x", "ROCKSNAP_PLUGIN_PATH=x", "ROCKSNAP_CACHE_DIR=x", "ROCKSNAP_TEST_SLOW=1",
		"ROCKSNAP_DATABASE_PATH=other",
		"ROCKSNAP_SNAPSHOT_FLUSH=never",
		"ROCKSNAP_SNAPSHOT_STRATEGY=",
		"ROCKSNAP_SNAPSHOT_PREUPLOAD=false",
		"ROCKSNAP_REPOSITORY_TRANSFER_WORKERS=9",
		"ROCKSNAP_STRATEGIES_MY_OWN_ALLOW=upload, reuse",
		"ROCKSNAP_STRATEGIES_INCREMENTAL_LIMITS_MEMORY=16777216",
		"ROCKSNAP_KEYGROUPS_COUNT=16",
		"ROCKSNAP_COLUMN_FAMILIES_MY_OWN_TTL_SECONDS=60",
		"ROCKSNAP_REPOSITORY_URL=s3://acme/orders",
		"ROCKSNAP_REPOSITORY_TRANSFER_DOWNLOAD_LIMIT=1MiB/s",
		"ROCKSNAP_REPOSITORY_TRANSFER_MEMORY=1GiB",
		"ROCKSNAP_REPOSITORY_ENCRYPTION_RECIPIENTS=age1a, age1b",
		"ROCKSNAP_RETENTION_KEEP_LABEL=release,env=prod",
		"ROCKSNAP_RETENTION_KEEP_WITHIN=2w",
	})
	require.NoError(t, err)
	assert.Equal(t, "/d/other", c.Database.Path)
	assert.Equal(t, FlushNever, c.Snapshot.Flush)
	assert.Equal(t, "incremental", c.Snapshot.Strategy)
	assert.Equal(t, Transfer{Workers: 9, DownloadLimit: 1 << 20, Requests: 36, Memory: 1 << 30}, c.Repository.Transfer)
	assert.Equal(t, Encryption{Recipients: []string{"age1a", "age1b"}}, c.Repository.Encryption)
	assert.Equal(t, Retention{KeepWithin: Duration(14 * day), KeepLabel: []string{"release", "env=prod"}, Grace: Duration(time.Hour)}, c.Retention)
	assert.Equal(t, []string{"upload", "reuse"}, c.Strategies["my-own"].Allow)
	assert.Equal(t, minMemory, c.Strategies["incremental"].Limits.Memory)
	assert.Equal(t, KeyRange{0, 15}, c.KeyGroups.Range)
	assert.Equal(t, &TTL{Format: TTLRocksDB, Seconds: 60}, c.Families["my-own"].TTL)
	assert.Contains(t, c.Effective(), Setting{"snapshot.flush", `"never"`, "environment ROCKSNAP_SNAPSHOT_FLUSH"})
}

func TestEnvironmentRefused(t *testing.T) {
	_, err := Parse("rocksnap.toml", minimal("[database]\ncolour = 1"), []string{
		"ROCKSNAP_SNAPSHOT_FLUSH=nevr",
		"ROCKSNAP_SNAPSHOT_FLASH=auto",
		"ROCKSNAP_VERSION=1",
		"ROCKSNAP_SNAPSHOT_PREUPLOAD=maybe",
		"ROCKSNAP_REPOSITORY_TRANSFER_WORKERS=0",
		"ROCKSNAP_DATABASE_MODE=follow",
		"ROCKSNAP_REPOSITORY_SECRET_KEY=hunter2",
		"ROCKSNAP_REPOSITORY_ENCRYPTION_IDENTITY_FILE=AGE-SECRET-KEY-1HUNTER2",
	})
	var problems Errors
	require.ErrorAs(t, err, &problems)
	want := `rocksnap.toml:6:1: [database] colour: unknown key
environment: ROCKSNAP_DATABASE_MODE: not supported by this version
environment: ROCKSNAP_REPOSITORY_ENCRYPTION_IDENTITY_FILE: must name a file, not be a secret key
environment: ROCKSNAP_REPOSITORY_SECRET_KEY: unknown variable
environment: ROCKSNAP_REPOSITORY_TRANSFER_WORKERS: must be 1 to 256, not 0
environment: ROCKSNAP_SNAPSHOT_FLASH: unknown variable
environment: ROCKSNAP_SNAPSHOT_FLUSH: must be auto, always or never, not "nevr"
environment: ROCKSNAP_SNAPSHOT_PREUPLOAD: must be a boolean, not a string
environment: ROCKSNAP_VERSION: unknown variable`
	assert.EqualError(t, err, want)
	assert.Equal(t, "did you mean ROCKSNAP_SNAPSHOT_FLUSH?", problems[5].Hint)
	assert.Equal(t, fromAWS, problems[3].Hint)
	assert.Equal(t, "did you mean never?", problems[6].Hint)
}

// reparse reads a configuration's effective settings as if they were a file.
func reparse(t *testing.T, c *Config) *Config {
	t.Helper()
	var text strings.Builder
	for _, s := range c.Effective() {
		text.WriteString(s.Key + " = " + s.Value + " # " + s.Origin + "\n")
	}
	again, err := Parse(c.Path, []byte(text.String()), nil)
	require.NoError(t, err, text.String())
	again.origins = c.origins
	return again
}

func TestEffectiveMeansTheSame(t *testing.T) {
	for _, name := range files(t, "testdata/good/*.toml") {
		c := good(t, name)
		assert.Equal(t, c, reparse(t, c), name)
	}
}

func TestEffectiveOrigin(t *testing.T) {
	c, err := Parse("/d/rocksnap.toml", minimal(""), nil)
	require.NoError(t, err)
	assert.Subset(t, c.Effective(), []Setting{
		{"repository.url", `"file:/d/repo"`, "/d/rocksnap.toml:3"},
		{"repository.name", `"db"`, "default"},
		{"strategies.incremental.limits.memory", `"64MiB"`, "default"},
	})
	for _, s := range c.Effective() {
		assert.NotContains(t, s.Key, "canonical")
		assert.NotContains(t, s.Key, "keygroups")
		assert.NotContains(t, s.Key, "keep_")
		assert.NotContains(t, s.Key, "_limit")
		assert.NotContains(t, s.Key, "requests")
	}
}

// FuzzParse checks that nothing panics, that every error has a place, and that
// what is accepted means the same when it is shown and read again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		for _, name := range files(f, pattern) {
			text, err := os.ReadFile(name)
			require.NoError(f, err)
			f.Add(text)
		}
	}
	path, err := filepath.Abs("testdata/good/rocksnap.toml")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(path, text, nil)
		if err == nil {
			assert.Equal(t, c, reparse(t, c))
			return
		}
		var problems Errors
		require.ErrorAs(t, err, &problems)
		for _, p := range problems {
			assert.Positive(t, p.Line)
			assert.Positive(t, p.Column)
			assert.LessOrEqual(t, p.Line, 1+strings.Count(string(text), "\n"))
		}
	})
}
