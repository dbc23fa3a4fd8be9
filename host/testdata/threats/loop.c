// A guest in C that computes for ever.
#include "rocksnap_v1.h"

int32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }
int32_t rocksnap_init(void) { return 0; }
int32_t rocksnap_prepare(void) { return 0; }

int32_t rocksnap_snapshot(void) {
  for (volatile uint32_t n = 0;;) n++;
}
