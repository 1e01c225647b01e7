// Memory that a task needs while it runs: more than the stacks of a caller's threads may hold (512 KiB on Darwin).
#ifndef RESIDUAL_SCRATCH_H
#define RESIDUAL_SCRATCH_H

#include <stddef.h>

/// At least `bytes` of uninitialised memory, aligned to a cache line, of the calling thread: valid until the thread asks
/// again, kept from one task to the next and freed when the thread ends. Stops the program when there is none.
void *rk_scratch(size_t bytes);

#endif
