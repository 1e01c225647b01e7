#ifndef RESIDUAL_CRC32C_H
#define RESIDUAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected, RFC 3720 appendix B.4) of `bytes` after those whose checksum
// is `crc`; begin with 0.
uint32_t residual_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
