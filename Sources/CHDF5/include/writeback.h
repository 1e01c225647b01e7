#ifndef RESIDUAL_WRITEBACK_H
#define RESIDUAL_WRITEBACK_H

#include <stdint.h>

// Has the disk begin to take `count` bytes of a file from `offset` on, without waiting. Where the system has no call for
// that it does nothing. It reports no failure and hides none: fsync() returns what went wrong.
void residual_start_writeback(int descriptor, int64_t offset, int64_t count);

#endif
