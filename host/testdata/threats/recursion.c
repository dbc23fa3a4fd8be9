// A guest in C that calls itself until the stack is used up, with many values
// alive in each call.
#include "rocksnap_v1.h"

int32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }
int32_t rocksnap_init(void) { return 0; }
int32_t rocksnap_prepare(void) { return 0; }

__attribute__((noinline)) static uint64_t deeper(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  uint64_t e = deeper(b + 1, c * 3, d ^ a, a + b);
  return e + a * b + c * d + deeper(e, d, c, b);
}

int32_t rocksnap_snapshot(void) { return (int32_t)deeper(1, 2, 3, 4); }
