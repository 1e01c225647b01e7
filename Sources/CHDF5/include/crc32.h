#ifndef RESIDUAL_CRC32_H
#define RESIDUAL_CRC32_H

#include <stddef.h>
#include <stdint.h>

// CRC-32 of zip files (ISO 3309, polynomial 0x04C11DB7 reflected) with carry-less multiplication.
//
// Follows on from `*crc` (begin with 0) over as many of the `count` bytes as it can and returns how many: the last few
// are left to the caller, all of them where the processor lacks the instruction.
size_t residual_crc32_fold(uint32_t *crc, const void *bytes, size_t count);

#endif
