// libhdf5 behind small, checked functions.
//
// Who calls these holds one process-wide lock from chdf5_enter() to chdf5_leave(): libhdf5 is not safe to use from two
// threads, not even on two files. Functions return 0, or -1 with the reason in chdf5_error().
//
// libhdf5 opens no file itself. It reads and writes through a driver (driver.c) on a descriptor the caller has opened,
// so the caller sees each failure of a system call and no name in a file can lead to another file.
#ifndef RESIDUAL_CHDF5_H
#define RESIDUAL_CHDF5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crc32.h"
#include "crc32c.h"
#include "writeback.h"

typedef struct chdf5_file chdf5_file;

// An open group, dataset or file of libhdf5.
typedef int64_t chdf5_id;

// Puts libhdf5 in the state we need: no printing of errors, no filter plugins. chdf5_leave() undoes it.
int chdf5_enter(void);
void chdf5_leave(void);

// Why the last call failed, libhdf5's error stack included, innermost cause first.
const char *chdf5_error(void);

// The library's version: 1.10.8 is 1010008.
unsigned chdf5_version(void);

// Looks at bytes of the file that libhdf5 takes for an object header or a part of one, or else for a part of an index or a
// heap; returns 0 if it may have them.
typedef int (*chdf5_inspect_function)(
  void *context, bool is_header, uint64_t offset, const void *bytes, size_t count);

// Opens a file of `size` bytes for reading through `descriptor`, which stays the caller's. `context` must live as long.
int chdf5_open(
  int descriptor, uint64_t size, chdf5_inspect_function inspect, void *context, chdf5_file **file);

// Writes `count` bytes at `offset`; returns 0 or errno.
typedef int (*chdf5_write_function)(void *context, uint64_t offset, const void *bytes, size_t count);

// Creates a file. After a failed write nothing more is written, libhdf5 is told that all is well so that it can close,
// and chdf5_close() returns the failure.
int chdf5_create(int descriptor, chdf5_write_function write, void *context, chdf5_file **file);

// The file's root group, open as long as the file is.
chdf5_id chdf5_root(const chdf5_file *file);

// Closes and frees the file, also when it fails. `size`, if not NULL, gets the file's full size.
int chdf5_close(chdf5_file *file, uint64_t *size);

// Closes a group or dataset.
void chdf5_close_object(chdf5_id object);

// MARK: Reading

typedef enum { CHDF5_HARD_LINK, CHDF5_SOFT_LINK, CHDF5_EXTERNAL_LINK, CHDF5_OTHER_LINK } chdf5_link_kind;

typedef struct {
  char *name;
  chdf5_link_kind kind;
  uint64_t address;  // of the object a hard link names
} chdf5_link;

typedef struct {
  chdf5_link *links;
  size_t count;
  bool exceeds_limit;  // there were more than the limit; the list holds the first
} chdf5_link_list;

// Lists a group's links in the order of their objects' addresses, which is nearly the order in which they were made: HDF5
// itself keeps none by default. Opens none of them.
int chdf5_list_links(chdf5_id group, size_t limit, chdf5_link_list *list);
void chdf5_free_links(chdf5_link_list *list);

typedef enum { CHDF5_GROUP, CHDF5_DATASET, CHDF5_OTHER_OBJECT } chdf5_object_kind;

// Opens what a hard link of that group names.
int chdf5_open_object(chdf5_id group, const char *name, chdf5_id *object, chdf5_object_kind *kind);

typedef enum {
  CHDF5_FLOAT16, CHDF5_BFLOAT16, CHDF5_FLOAT32, CHDF5_FLOAT64,
  CHDF5_INT8, CHDF5_INT16, CHDF5_INT32, CHDF5_INT64,
  CHDF5_UINT8, CHDF5_UINT16, CHDF5_UINT32, CHDF5_UINT64,
  CHDF5_BOOL,
  CHDF5_OTHER_TYPE
} chdf5_type;

typedef enum { CHDF5_COMPACT, CHDF5_CONTIGUOUS, CHDF5_CHUNKED, CHDF5_VIRTUAL, CHDF5_OTHER_LAYOUT } chdf5_layout;

#define CHDF5_MAX_RANK 32

typedef struct {
  chdf5_type type;
  const char *type_name;  // in words, for a type that is not read
  bool type_is_committed;
  bool is_big_endian;
  bool has_null_space;
  int rank;
  uint64_t shape[CHDF5_MAX_RANK];
  chdf5_layout layout;
  int external_files;
  int filters;
  bool has_unusual_filter;  // any other than deflate, shuffle and Fletcher's checksum
  uint64_t chunk_bytes;     // of one chunk, before filters
  uint64_t stored_bytes;    // that the file keeps for it
  bool has_offset;
  uint64_t offset;          // from the file's start, of a contiguous dataset's bytes
  bool has_note;
  uint32_t position;        // our own note: the dataset's place in its state dict
  uint32_t checksum;        // and its bytes' checksum
} chdf5_dataset;

// Describes a dataset without reading its elements; of a virtual one no more than its layout, and of a chunked one what is
// stored only if `visits_chunks`. Our own note is an attribute: position and checksum, as uint32.
int chdf5_describe_dataset(
  chdf5_id dataset, const char *note, bool visits_chunks, chdf5_dataset *description);

// Reads a dataset's elements as the file has them, in its byte order. `count` is the buffer's size and must be exact.
int chdf5_read_dataset(chdf5_id dataset, void *bytes, size_t count);

// Calls `each` for every attribute of an object that is one string of fixed length.
typedef void (*chdf5_attribute_function)(void *context, const char *name, const char *value, size_t length);
int chdf5_for_each_string(chdf5_id object, chdf5_attribute_function each, void *context);

// Whether the object has an attribute of that name; -1 on failure.
int chdf5_has_attribute(chdf5_id object, const char *name);

// Reads an attribute that is one uint32; `exists` says whether there is one of that name.
int chdf5_read_number(chdf5_id object, const char *name, bool *exists, uint32_t *number);

// MARK: Writing

// Creates a group.
int chdf5_create_group(chdf5_id parent, const char *name, chdf5_id *group);

// Creates a contiguous little-endian dataset, reserves its bytes in the file without writing them, and gives their
// offset (0 where there are none). `shape` may be NULL where `rank` is 0.
int chdf5_create_dataset(
  chdf5_id group, const char *name, chdf5_type type, int rank, const uint64_t *shape, const char *note,
  uint32_t position, uint32_t checksum, uint64_t *offset);

// Gives an object an attribute that is one uint32.
int chdf5_write_number(chdf5_id object, const char *name, uint32_t number);

// Gives an object an attribute that is one UTF-8 string of a fixed length.
int chdf5_write_string(chdf5_id object, const char *name, const char *value, size_t length);

#endif
