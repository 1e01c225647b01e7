// A libhdf5 file driver on a descriptor the caller opened.
//
// Reads beyond the file's end fail, and so do reads past a budget of several times the file's size: a file whose
// structures lead in circles ends in an error. Headers, indexes and heaps go to libhdf5 only when the caller has accepted them.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

typedef struct {
  H5FD_t common;  // libhdf5's own, first
  chdf5_file *file;
} driver_file;

typedef struct {
  chdf5_file *file;
} driver_settings;

static const char driver_name[] = "residual";

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t maximum) {
  (void)name, (void)flags, (void)maximum;
  const driver_settings *settings = H5Pget_driver_info(access);
  driver_file *opened = settings ? calloc(1, sizeof *opened) : NULL;
  if (opened) {
    opened->file = settings->file;
    opened->file->is_held = true;
  }
  return (H5FD_t *)opened;
}

static chdf5_file *file_of(const H5FD_t *opened) { return ((const driver_file *)opened)->file; }

static herr_t driver_close(H5FD_t *opened) {
  chdf5_file *file = file_of(opened);
  file->is_held = false;
  if (file->is_abandoned) free(file);
  free(opened);
  return 0;
}

void chdf5_abandon(chdf5_file *file) {
  file->is_abandoned = true;
  if (!file->is_held) free(file);
}

static int driver_compare(const H5FD_t *a, const H5FD_t *b) {
  uintptr_t left = (uintptr_t)file_of(a), right = (uintptr_t)file_of(b);
  return left < right ? -1 : left > right;
}

// Reading goes without libhdf5's accumulator of metadata: that copies from its memory before it has looked whether an
// address is one (seen in 1.10.8), where driver_read() looks first.
static herr_t driver_query(const H5FD_t *opened, unsigned long *features) {
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  if (!opened || file_of(opened)->write) *features |= H5FD_FEAT_ACCUMULATE_METADATA;
  return 0;
}

static haddr_t driver_get_allocated(const H5FD_t *opened, H5FD_mem_t type) {
  (void)type;
  return file_of(opened)->allocated;
}

static herr_t driver_set_allocated(H5FD_t *opened, H5FD_mem_t type, haddr_t end) {
  (void)type;
  file_of(opened)->allocated = end;
  return 0;
}

static haddr_t driver_get_end(const H5FD_t *opened, H5FD_mem_t type) {
  (void)type;
  return file_of(opened)->end;
}

// Reads the file; what has been given out but not written yet is zeros.
static herr_t read_bytes(const chdf5_file *file, haddr_t offset, size_t count, unsigned char *destination) {
  while (count > 0) {
    ssize_t got = pread(file->descriptor, destination, count, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) {
      memset(destination, 0, count);
      return file->write ? 0 : -1;
    }
    destination += got;
    offset += (haddr_t)got;
    count -= (size_t)got;
  }
  return 0;
}

static herr_t driver_read(H5FD_t *opened, H5FD_mem_t type, hid_t transfer, haddr_t offset, size_t count, void *bytes) {
  (void)transfer;
  chdf5_file *file = file_of(opened);
  if (file->is_abandoned || offset == HADDR_UNDEF || offset + count < offset) return -1;
  if (file->write) return read_bytes(file, offset, count, bytes);
  if (offset + count > file->end || count > file->read_budget) return -1;
  file->read_budget -= count;
  if (read_bytes(file, offset, count, bytes) < 0) return -1;
  if (type != H5FD_MEM_OHDR && type != H5FD_MEM_BTREE && type != H5FD_MEM_LHEAP) return 0;
  return file->inspect(file->inspect_context, type == H5FD_MEM_OHDR, offset, bytes, count);
}

static herr_t driver_write(
  H5FD_t *opened, H5FD_mem_t type, hid_t transfer, haddr_t offset, size_t count, const void *bytes) {
  (void)type, (void)transfer;
  chdf5_file *file = file_of(opened);
  if (file->is_abandoned || !file->write) return -1;
  if (file->write_error == 0) file->write_error = file->write(file->write_context, offset, bytes, count);
  if (offset + count > file->end) file->end = offset + count;
  return 0;
}

static herr_t driver_truncate(H5FD_t *opened, hid_t transfer, hbool_t closing) {
  (void)transfer, (void)closing;
  chdf5_file *file = file_of(opened);
  if (file->write) file->end = file->allocated;
  return 0;
}

static const H5FD_class_t driver_class = {
#ifdef H5FD_CLASS_VERSION
  .version = H5FD_CLASS_VERSION,
  .value = (H5FD_class_value_t)(H5_VFD_RESERVED + 17),
#endif
  .name = driver_name,
  .maxaddr = (haddr_t)INT64_MAX,
  .fc_degree = H5F_CLOSE_STRONG,
  .fapl_size = sizeof(driver_settings),
  .open = driver_open,
  .close = driver_close,
  .cmp = driver_compare,
  .query = driver_query,
  .get_eoa = driver_get_allocated,
  .set_eoa = driver_set_allocated,
  .get_eof = driver_get_end,
  .read = driver_read,
  .write = driver_write,
  .truncate = driver_truncate,
  .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t chdf5_register_driver(void) {
  static hid_t driver = -1;
  if (driver < 0 || H5Iget_type(driver) != H5I_VFL) driver = H5FDregister(&driver_class);
  return driver;
}

herr_t chdf5_use_driver(hid_t access, chdf5_file *file) {
  driver_settings settings = {.file = file};
  hid_t driver = chdf5_register_driver();
  return driver < 0 ? -1 : H5Pset_driver(access, driver, &settings);
}
