package strategy

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

// handler is the host's side of a function of the ABI. It returns what the guest
// gets, or the error whose number the guest gets.
type handler func(i *Instance, a args) (int, error)

// args are the parameters of a call.
type args []uint64

func (a args) u32(n int) uint32 { return api.DecodeU32(a[n]) }

// offer makes the functions of the ABI known to a runtime. Their names, types
// and phases come from the table in package abi and nowhere else.
func offer(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.ImportModule)
	for n := range abi.Imports {
		f := &abi.Imports[n]
		h, ok := handlers[f.Name]
		if !ok {
			return fmt.Errorf("%s: %w", f.Name, abi.ENOSYS)
		}
		t := typeOf(f)
		b.NewFunctionBuilder().WithGoModuleFunction(adapt(f, h), valueTypes(t.Params), valueTypes(t.Results)).Export(f.Name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// adapt avoids wazero's reflection, which costs microseconds per call.
func adapt(f *abi.Func, h handler) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		i := ctx.Value(instanceKey{}).(*Instance)
		result, err := i.serve(f, h, stack)
		if f.Result == abi.None {
			return
		}
		if err != nil {
			result = -int(i.remember(f.Name, err))
		}
		stack[0] = api.EncodeI32(int32(result))
	}
}

func valueTypes(types []wasm.ValueType) []api.ValueType {
	list := make([]api.ValueType, len(types))
	for n, t := range types {
		list[n] = api.ValueType(t)
	}
	return list
}

// serve is the one place where a call is let through to the session, or not.
func (i *Instance) serve(f *abi.Func, h handler, a args) (int, error) {
	i.current = f.Name
	i.pace.call(i.ctx, i.alive, i.module.limits.Calls)
	defer i.guard()
	if i.unread.call != f.Name {
		i.unread = unread{}
	}
	switch {
	case i.phase == 0:
		return 0, fmt.Errorf("while the module is started: %w", abi.EPHASE)
	case i.phase&f.Phases == 0:
		return 0, fmt.Errorf("in %s: %w", i.phase, abi.EPHASE)
	case f.Grant != "" && !slices.Contains(i.module.grants, f.Grant):
		return 0, abi.EPERM
	case i.ctx.Err() != nil && !afterCancel(f):
		return 0, context.Cause(i.ctx)
	}
	return h(i, a)
}

// afterCancel tells what a guest can still call once the run has ended: enough to
// notice and to say so, but nothing that touches the database or the store.
func afterCancel(f *abi.Func) bool { return f.Grant == "" && f.Name != "wait" }

// guard notes why a host function panicked, for [Instance.crash], and lets the
// panic go on: wazero turns it into the end of the guest.
func (i *Instance) guard() {
	value := recover()
	if value == nil {
		return
	}
	switch value := value.(type) {
	case *badPointer:
		i.fault = value
	case *hostFault: // on another goroutine
		i.fault = value
	default:
		i.fault = &hostFault{call: i.current, value: value, stack: debug.Stack()}
	}
	panic(i.fault)
}

// remember keeps an error for error_get and for the error of the run, and
// returns its number.
func (i *Instance) remember(call string, err error) abi.Errno {
	errno := abi.ErrnoOf(err)
	known := tell(call, errno, err)
	i.errors[errno], i.latest = known, known.told
	return errno
}
