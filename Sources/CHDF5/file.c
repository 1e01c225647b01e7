// Opening, closing and reporting.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static char error_text[2048];
static H5E_auto2_t previous_printer;
static void *previous_printer_data;
static unsigned previous_plugins;

const char *chdf5_error(void) { return error_text; }

static herr_t append_entry(unsigned depth, const H5E_error2_t *entry, void *unused) {
  (void)depth, (void)unused;
  size_t used = strlen(error_text);
  if (entry->desc && *entry->desc && used + 3 < sizeof error_text)
    snprintf(error_text + used, sizeof error_text - used, "%s%s", used ? "; " : "", entry->desc);
  return 0;
}

int chdf5_fail(const char *words) {
  error_text[0] = '\0';
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, append_entry, NULL);
  H5Eclear2(H5E_DEFAULT);
  size_t used = strlen(error_text);
  if (words && used + 3 < sizeof error_text)
    snprintf(error_text + used, sizeof error_text - used, "%s%s", used ? "; " : "", words);
  return -1;
}

int chdf5_enter(void) {
  error_text[0] = '\0';
  // All that is opened here is closed here. At exit libhdf5 would try again to close what a damaged file kept it from
  // closing, and print about it. Where the program itself began to use libhdf5 first, this changes nothing.
  H5dont_atexit();
  if (H5open() < 0) return chdf5_fail("libhdf5 could not be initialised");
  H5Eget_auto2(H5E_DEFAULT, &previous_printer, &previous_printer_data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  if (H5PLget_loading_state(&previous_plugins) < 0 || H5PLset_loading_state(0) < 0)
    return chdf5_fail("filter plugins could not be switched off");
  return 0;
}

void chdf5_leave(void) {
  H5PLset_loading_state(previous_plugins);
  H5Eset_auto2(H5E_DEFAULT, previous_printer, previous_printer_data);
}

unsigned chdf5_version(void) {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return major * 1000000 + minor * 1000 + release;
}

static hid_t access_list(chdf5_file *file) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access < 0) return -1;
  if (chdf5_use_driver(access, file) < 0 || H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0
      || H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST) < 0) {
    H5Pclose(access);
    return -1;
  }
  return access;
}

// Takes `file` over: it is either handed out or freed.
static int finish_opening(chdf5_file *file, chdf5_file **result) {
  file->root = file->id < 0 ? -1 : H5Gopen2(file->id, "/", H5P_DEFAULT);
  if (file->root >= 0) {
    *result = file;
    return 0;
  }
  chdf5_fail(NULL);
  if (file->id >= 0) H5Fclose(file->id);
  chdf5_abandon(file);
  return -1;
}

int chdf5_open(
  int descriptor, uint64_t size, chdf5_inspect_function inspect, void *context, chdf5_file **result) {
  chdf5_file *file = calloc(1, sizeof *file);
  if (!file) return chdf5_fail("out of memory");
  *file = (chdf5_file){
    .descriptor = descriptor, .inspect = inspect, .inspect_context = context, .end = size,
    .read_budget = 16 * size + (16u << 20), .id = -1, .root = -1};
  hid_t access = access_list(file);
  if (access >= 0) {
    file->id = H5Fopen("residual", H5F_ACC_RDONLY, access);
    H5Pclose(access);
  }
  return finish_opening(file, result);
}

int chdf5_create(int descriptor, chdf5_write_function write, void *context, chdf5_file **result) {
  chdf5_file *file = calloc(1, sizeof *file);
  if (!file) return chdf5_fail("out of memory");
  *file = (chdf5_file){.descriptor = descriptor, .write = write, .write_context = context, .id = -1, .root = -1};
  hid_t access = access_list(file);
  hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  if (access >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
    file->id = H5Fcreate("residual", H5F_ACC_TRUNC, creation, access);
  if (access >= 0) H5Pclose(access);
  if (creation >= 0) H5Pclose(creation);
  return finish_opening(file, result);
}

chdf5_id chdf5_root(const chdf5_file *file) { return file->root; }

int chdf5_close(chdf5_file *file, uint64_t *size) {
  H5Gclose(file->root);
  int result = H5Fclose(file->id) < 0 ? chdf5_fail(NULL) : 0;
  if (size) *size = file->allocated > file->end ? file->allocated : file->end;
  if (file->write_error != 0) result = chdf5_fail(strerror(file->write_error));
  chdf5_abandon(file);
  return result;
}

void chdf5_close_object(chdf5_id object) { H5Oclose(object); }
