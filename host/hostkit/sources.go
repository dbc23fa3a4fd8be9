package hostkit

import (
	"fmt"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// C returns the source of the guest in C. It includes rocksnap_v1.h and needs no
// other library.
func C() string {
	var calls strings.Builder
	for n, f := range abi.Imports {
		args := make([]string, len(f.Params))
		for i, p := range f.Params {
			args[i] = fmt.Sprintf("a[%d]", i)
			if strings.HasPrefix(pointerOf(p), "p") {
				args[i] = fmt.Sprintf("(void *)(uintptr_t)(uint32_t)a[%d]", i)
			}
		}
		call := fmt.Sprintf("rocksnap_%s(%s)", f.Name, strings.Join(args, ", "))
		if f.Result == abi.None {
			call = "(" + call + ", 0)"
		}
		fmt.Fprintf(&calls, "    case %d: return %s;\n", n, call)
	}
	return strings.Replace(sourceC, "@CALLS@", calls.String(), 1)
}

// pointerOf says "p" for an address, whose parameters are named so in the table.
func pointerOf(p abi.Param) string {
	switch p.Name {
	case "ptr", "buf", "key":
		return "p"
	}
	return ""
}

const sourceC = `#include "rocksnap_v1.h"

typedef struct { uint32_t base, zero; int64_t value; } arg_t;
typedef struct { uint32_t phase, call; arg_t args[4]; } step_t;

static _Alignas(16) uint8_t arena[65536];
static _Alignas(8) uint8_t text[65536];
static _Alignas(8) uint8_t program[32768];
static int32_t results[256];
static uint32_t steps;

int32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }

static uint8_t digit(uint8_t c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static void load(void) {
  uint32_t n = (uint32_t)rocksnap_config_get(text, sizeof text), at = 12, size = 0;
  for (; at + 1 < n && text[at] != '"'; at += 2)
    program[size++] = (uint8_t)(digit(text[at]) << 4 | digit(text[at + 1]));
  steps = size / sizeof(step_t);
}

static int64_t argument(const arg_t *a) {
  switch (a->base) {
    case 1: return (int64_t)(uintptr_t)arena + a->value;
    case 2: return (int64_t)__builtin_wasm_memory_size(0) * 65536 + a->value;
    case 3: return results[a->value];
  }
  return a->value;
}

static int32_t make(uint32_t call, const int64_t *a) {
  switch (call) {
@CALLS@    case 1000: *(int64_t *)(uintptr_t)(uint32_t)a[0] = a[1]; return 0;
    case 1001: return *(int32_t *)(uintptr_t)(uint32_t)a[0];
  }
  return -1000;
}

static int32_t run(uint32_t phase) {
  if (steps == 0) load();
  for (uint32_t n = 0; n < steps; n++) {
    const step_t *s = (const step_t *)program + n;
    if (s->phase != phase) continue;
    int64_t a[4];
    for (int i = 0; i < 4; i++) a[i] = argument(&s->args[i]);
    results[n] = make(s->call, a);
    rocksnap_progress(n, (uint64_t)(int64_t)results[n]);
  }
  return 0;
}

int32_t rocksnap_init(void) { return run(ROCKSNAP_PHASE_INIT); }
int32_t rocksnap_prepare(void) { return run(ROCKSNAP_PHASE_PREPARE); }
int32_t rocksnap_snapshot(void) { return run(ROCKSNAP_PHASE_SNAPSHOT); }
int32_t rocksnap_notify(uint32_t event, uint64_t slot) { (void)event; (void)slot; return run(ROCKSNAP_PHASE_NOTIFY); }
int32_t rocksnap_restore(void) { return run(ROCKSNAP_PHASE_RESTORE); }
`

// WAT returns the source of the guest in WebAssembly's text format.
func WAT() string {
	var imports, calls strings.Builder
	for n, f := range abi.Imports {
		var params, args, result string
		for i, p := range f.Params {
			if p.Type == abi.I64 {
				params, args = params+" i64", args+fmt.Sprintf(" (local.get $a%d)", i)
				continue
			}
			params, args = params+" i32", args+fmt.Sprintf(" (i32.wrap_i64 (local.get $a%d))", i)
		}
		call := fmt.Sprintf("(call $%s%s)", f.Name, args)
		if f.Result != abi.None {
			result, call = " (result i32)", "(return "+call+")"
		} else {
			call += " (return (i32.const 0))"
		}
		fmt.Fprintf(&imports, "  (import %q %q (func $%s (param%s)%s))\n", abi.ImportModule, f.Name, f.Name, params, result)
		fmt.Fprintf(&calls, "    (if (i32.eq (local.get $call) (i32.const %d)) (then %s))\n", n, call)
	}
	return strings.NewReplacer("@IMPORTS@", imports.String(), "@CALLS@", calls.String()).Replace(sourceWAT)
}

// sourceWAT keeps the arena in its second page, the text in the third, the
// program in the fourth and results in the fifth.
const sourceWAT = `(module
@IMPORTS@
  (memory (export "memory") 5)
  (global $steps (mut i32) (i32.const 0))
  (func (export "rocksnap_abi") (result i32) (i32.const 65536))
  (func $digit (param $at i32) (result i32) (local $c i32)
    (local.set $c (i32.load8_u (local.get $at)))
    (select (i32.sub (local.get $c) (i32.const 48)) (i32.sub (local.get $c) (i32.const 87)) (i32.le_u (local.get $c) (i32.const 57))))
  (func $load (local $at i32) (local $end i32) (local $out i32)
    (local.set $end (i32.add (i32.const 0x20000) (call $config_get (i32.const 0x20000) (i32.const 0x10000))))
    (local.set $at (i32.const 0x2000c))
    (local.set $out (i32.const 0x30000))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (br_if $done (i32.eq (i32.load8_u (local.get $at)) (i32.const 34)))
      (i32.store8 (local.get $out) (i32.or (i32.shl (call $digit (local.get $at)) (i32.const 4)) (call $digit (i32.add (local.get $at) (i32.const 1)))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $out (i32.add (local.get $out) (i32.const 1)))
      (br $next)))
    (global.set $steps (i32.div_u (i32.sub (local.get $out) (i32.const 0x30000)) (i32.const 72))))
  (func $argument (param $at i32) (result i64) (local $base i32) (local $value i64)
    (local.set $base (i32.load (local.get $at)))
    (local.set $value (i64.load offset=8 (local.get $at)))
    (if (i32.eq (local.get $base) (i32.const 1)) (then (return (i64.add (i64.const 0x10000) (local.get $value)))))
    (if (i32.eq (local.get $base) (i32.const 2))
      (then (return (i64.add (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)) (local.get $value)))))
    (if (i32.eq (local.get $base) (i32.const 3))
      (then (return (i64.load32_s offset=0x40000 (i32.shl (i32.wrap_i64 (local.get $value)) (i32.const 2))))))
    (local.get $value))
  (func $make (param $call i32) (param $a0 i64) (param $a1 i64) (param $a2 i64) (param $a3 i64) (result i32)
@CALLS@    (if (i32.eq (local.get $call) (i32.const 1000))
      (then (i64.store align=1 (i32.wrap_i64 (local.get $a0)) (local.get $a1)) (return (i32.const 0))))
    (if (i32.eq (local.get $call) (i32.const 1001)) (then (return (i32.load align=1 (i32.wrap_i64 (local.get $a0))))))
    (i32.const -1000))
  (func $run (param $phase i32) (result i32) (local $n i32) (local $at i32) (local $result i32)
    (if (i32.eqz (global.get $steps)) (then (call $load)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $n) (global.get $steps)))
      (local.set $at (i32.add (i32.const 0x30000) (i32.mul (local.get $n) (i32.const 72))))
      (if (i32.eq (i32.load (local.get $at)) (local.get $phase)) (then
        (local.set $result (call $make (i32.load offset=4 (local.get $at))
          (call $argument (i32.add (local.get $at) (i32.const 8))) (call $argument (i32.add (local.get $at) (i32.const 24)))
          (call $argument (i32.add (local.get $at) (i32.const 40))) (call $argument (i32.add (local.get $at) (i32.const 56)))))
        (i32.store offset=0x40000 (i32.shl (local.get $n) (i32.const 2)) (local.get $result))
        (call $progress (i64.extend_i32_u (local.get $n)) (i64.extend_i32_s (local.get $result)))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next)))
    (i32.const 0))
  (func (export "rocksnap_init") (result i32) (call $run (i32.const 1)))
  (func (export "rocksnap_prepare") (result i32) (call $run (i32.const 2)))
  (func (export "rocksnap_snapshot") (result i32) (call $run (i32.const 4)))
  (func (export "rocksnap_notify") (param i32 i64) (result i32) (call $run (i32.const 8)))
  (func (export "rocksnap_restore") (result i32) (call $run (i32.const 16)))
)
`
