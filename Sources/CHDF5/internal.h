#ifndef RESIDUAL_CHDF5_INTERNAL_H
#define RESIDUAL_CHDF5_INTERNAL_H

#define H5_USE_110_API  // one set of names under libhdf5 1.10, 1.12, 1.14 and 2.0
#include <hdf5.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include "CHDF5.h"

struct chdf5_file {
  int descriptor;
  chdf5_write_function write;  // NULL where the file is read
  void *write_context;
  chdf5_inspect_function inspect;  // of a file that is read
  void *inspect_context;
  int write_error;        // errno of the first write that failed
  uint64_t end;           // one past the last byte there is
  uint64_t allocated;     // one past the last byte libhdf5 has given out
  uint64_t read_budget;   // bytes libhdf5 may still read
  bool is_held;           // by libhdf5's driver
  bool is_abandoned;      // by its owner: every call fails, and the driver frees it
  hid_t id;
  hid_t root;
};

// The driver through which libhdf5 reads and writes a chdf5_file; negative on failure.
hid_t chdf5_register_driver(void);

// Points a file access list at the driver and that file.
herr_t chdf5_use_driver(hid_t access, chdf5_file *file);

// Frees the file, or where libhdf5 could not close it and still holds it, leaves it to libhdf5 without its descriptor.
void chdf5_abandon(chdf5_file *file);

// Records why a call failed; returns -1.
int chdf5_fail(const char *words);

#endif
