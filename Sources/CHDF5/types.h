#ifndef RESIDUAL_CHDF5_TYPES_H
#define RESIDUAL_CHDF5_TYPES_H

#include "internal.h"

// What a type of libhdf5 is to us, and what it is called in words.
chdf5_type chdf5_classify(hid_t type, bool *is_big_endian, const char **name);

// A new type of libhdf5's for a type of ours, little-endian; negative on failure. The caller closes it.
hid_t chdf5_make_type(chdf5_type type);

#endif
