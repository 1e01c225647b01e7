#include "scratch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "arithmetic.h"

enum { LINE = 64 };

static _Thread_local void *memory;
static _Thread_local size_t size;

// Its destructor frees the memory of a thread that ends.
static pthread_key_t thread_end;
static void make_key(void) { pthread_key_create(&thread_end, free); }

void *rk_scratch(size_t bytes) {
  if (bytes <= size) return memory;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  free(memory);
  size = divide_up(bytes, LINE) * LINE;
  memory = aligned_alloc(LINE, size);
  if (memory == NULL) {
    fprintf(stderr, "residual: out of memory: %zu bytes for a kernel\n", size);
    abort();
  }
  pthread_setspecific(thread_end, memory);
  return memory;
}
