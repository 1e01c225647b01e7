#define _GNU_SOURCE  // for mremap

#include "pages.h"

#include <sys/mman.h>

bool rk_pages_move(void *from, void *to, size_t bytes) {
#if defined(__linux__)
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) return true;
  // What was at the new place may be gone: it becomes memory again, which the caller has there.
  mmap(to, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#endif
  return false;
}
