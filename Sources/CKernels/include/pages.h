// Memory pages that change their address, not their content.
#ifndef RESIDUAL_PAGES_H
#define RESIDUAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/// Moves the pages of `bytes` bytes at `from`, private memory of the process and whole pages, to `to`, where others are
/// mapped, which are lost. Nothing is mapped at `from` afterwards. False where the system can't: then nothing has moved, and
/// what is at `to` is what it was or cleared.
bool rk_pages_move(void *from, void *to, size_t bytes);

#endif
