// Package guest turns a strategy into a WebAssembly module. It is all that an
// author needs beside package abi:
//
//	package main
//
//	import (
//		"context"
//
//		"github.com/rocksnap/rocksnap/abi"
//		"github.com/rocksnap/rocksnap/abi/guest"
//	)
//
//	func init() { guest.Register(everything{}) }
//
//	func main() {}
//
//	type everything struct{}
//
//	func (everything) Init(context.Context, abi.Session) error { return nil }
//
//	func (everything) Prepare(_ context.Context, s abi.Session) error {
//		_, err := s.Checkpoint()
//		return err
//	}
//
//	func (everything) Snapshot(ctx context.Context, s abi.Session) error {
//		return abi.UploadAll(ctx, s, abi.ScopePrivate)
//	}
//
// Build it as a reactor, with plain Go:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -o everything.wasm .
//
// A module imports the functions that its strategy can reach, and no others:
// the linker drops the methods of the session that are never called. What a
// module imports is what the operator has to allow, so a strategy that does not
// mention Reuse cannot be granted it by accident. Looking methods up by name
// (reflect.Value.MethodByName, text/template) keeps all of them linked, and then
// all of them have to be allowed. For the same reason prefer functions on bytes
// to those on an io.Reader (json.Unmarshal to json.Decoder): the latter link
// reading from files, which the sandbox does not have, and the module is refused.
//
// # What a strategy finds inside the sandbox
//
// The host serves one snapshot per instance. There is no file system, no network
// and no environment; clocks and random numbers are made up and the same in each
// run. The standard output and error streams are kept for the error message of
// a crash and are otherwise lost: write lines with the session's Log.
//
// The context that the strategy is given knows one thing, whether the snapshot
// has been cancelled. Ask its Err now and then in a long computation; its Done
// channel is nil, since nothing inside the sandbox could close it while the
// strategy runs. After a cancel the host waits a moment, then ends the module.
//
// Goroutines run only while the host waits for one of the strategy's methods.
// A panic ends the snapshot, and its text reaches the operator.
//
// Off WebAssembly the package compiles too, so that the strategy's own tests run
// natively against any [abi.Session]; the calls that would reach the host then
// fail with [abi.ENOSYS].
package guest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/abi"
)

// strategy is what the exports run. A module has one for its whole life, and the
// exports have no receiver to hold it.
var strategy abi.Strategy

// Register makes s the module's strategy. Call it once, from an init function of
// package main: main itself never runs in a reactor. It panics when called again
// or with nil. A strategy that also implements [abi.Notifier] or [abi.Restorer]
// is notified or asked to restore.
func Register(s abi.Strategy) {
	if s == nil {
		panic("guest: Register of a nil strategy")
	}
	if strategy != nil {
		panic("guest: Register called twice: a module has one strategy")
	}
	strategy = s
}

// Config reads the strategy's own table of the configuration into v, a pointer
// to a struct with json tags. Fields that the table does not mention keep their
// values, so set the defaults first. A key that v does not know, or a value of
// the wrong type, is an error that names it and wraps [abi.EINVAL].
func Config(s abi.Session, v any) error {
	text, err := s.Config()
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("config: %s: %w", explain(err), abi.EINVAL)
	}
	return checkKeys(text, reflect.TypeOf(v).Elem())
}

// explain says what is wrong with a value in words of the configuration: its
// reader knows neither JSON nor the strategy's Go types.
func explain(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	kind := wrong.Type.Kind()
	want, got := wanted(kind), cmp.Or(nouns[wrong.Value], wrong.Value)
	if literal, ok := strings.CutPrefix(got, "number "); ok { // which the field cannot hold
		want, got = "a whole number in range", literal
		if kind >= reflect.Float32 {
			want = "a number in range"
		}
	}
	return fmt.Sprintf("%s must be %s, not %s", cmp.Or(wrong.Field, "the table"), want, got)
}

// nouns are the kinds of values by their names in package json.
var nouns = map[string]string{
	"bool": "true or false", "number": "a number", "string": "a string", "array": "a list", "object": "a table",
}

func wanted(k reflect.Kind) string {
	switch {
	case k >= reflect.Int && k <= reflect.Float64:
		return nouns["number"]
	case k == reflect.Bool || k == reflect.String:
		return nouns[k.String()]
	case k == reflect.Slice || k == reflect.Array:
		return nouns["array"]
	}
	return nouns["object"]
}

// checkKeys refuses keys that no field of the struct has. A json.Decoder would do
// it too, but it reads from an io.Reader, and that alone links os.File.Read and
// a part of WASI that the sandbox does not offer.
func checkKeys(text []byte, target reflect.Type) error {
	var table map[string]json.RawMessage
	if err := json.Unmarshal(text, &table); err != nil {
		return fmt.Errorf("config: %w: %w", err, abi.EINVAL)
	}
	for i := range target.NumField() {
		f := target.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		delete(table, name)
	}
	if len(table) > 0 {
		return fmt.Errorf("config: unknown key %q: %w", slices.Min(slices.Collect(maps.Keys(table))), abi.EINVAL)
	}
	return nil
}

// run calls one method of the strategy and turns its error into what an export
// returns. The session has no state of its own: it is the host's, and there is
// one at a time.
func run(method func(context.Context, abi.Session) error) int32 {
	return result(method(cancellation{}, session{}))
}

func notify(event uint32, slot uint64) int32 {
	n, ok := strategy.(abi.Notifier)
	if !ok {
		return -int32(abi.ENOSYS)
	}
	return result(n.Notify(cancellation{}, session{}, abi.Notification{Event: abi.Event(event), Slot: slot}))
}

func restore() int32 {
	r, ok := strategy.(abi.Restorer)
	if !ok {
		return -int32(abi.ENOSYS)
	}
	return run(r.Restore)
}

func result(err error) int32 {
	if err == nil {
		return 0
	}
	text := []byte(err.Error())
	errorSet(pointer(text), length(text))
	return -int32(abi.ErrnoOf(err))
}

// cancellation is the context of a strategy.
type cancellation struct{}

// Deadline reports that none is known: the host keeps the time.
func (cancellation) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns nil: nothing inside the sandbox could close a channel.
func (cancellation) Done() <-chan struct{} { return nil }

// Err asks the host.
func (cancellation) Err() error {
	if cancelled() != 0 {
		return context.Canceled
	}
	return nil
}

// Value returns nil.
func (cancellation) Value(any) any { return nil }
