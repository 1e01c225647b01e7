// Groups, datasets and attributes as h5py makes them: contiguous, little-endian, without times.

#include "types.h"

// Link names are UTF-8; like h5py, say so only where it matters.
static hid_t link_list(const char *name) {
  hid_t creation = H5Pcreate(H5P_LINK_CREATE);
  if (creation < 0) return -1;
  bool is_ascii = true;
  for (const char *c = name; *c; c++)
    if ((unsigned char)*c > 127) is_ascii = false;
  if (!is_ascii && H5Pset_char_encoding(creation, H5T_CSET_UTF8) < 0) {
    H5Pclose(creation);
    return -1;
  }
  return creation;
}

int chdf5_create_group(chdf5_id parent, const char *name, chdf5_id *group) {
  hid_t creation = H5Pcreate(H5P_GROUP_CREATE), link = link_list(name);
  hid_t created = -1;
  if (creation >= 0 && link >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
    created = H5Gcreate2(parent, name, link, creation, H5P_DEFAULT);
  int result = created < 0 ? chdf5_fail("the group cannot be created") : 0;
  if (link >= 0) H5Pclose(link);
  if (creation >= 0) H5Pclose(creation);
  *group = created;
  return result;
}

// Takes `space` over.
static int write_attribute(hid_t object, const char *name, hid_t type, hid_t space, const void *value) {
  if (space < 0) return -1;
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  int result = attribute >= 0 && H5Awrite(attribute, type, value) >= 0 ? 0 : -1;
  if (attribute >= 0 && H5Aclose(attribute) < 0) result = -1;
  H5Sclose(space);
  return result;
}

// Contiguous, allocated at once and not filled: the caller writes the bytes at the dataset's offset.
static hid_t creation_list(void) {
  hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  if (creation < 0) return -1;
  if (H5Pset_layout(creation, H5D_CONTIGUOUS) < 0 || H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) < 0
      || H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) < 0 || H5Pset_obj_track_times(creation, false) < 0) {
    H5Pclose(creation);
    return -1;
  }
  return creation;
}

int chdf5_create_dataset(
  chdf5_id group, const char *name, chdf5_type element_type, int rank, const uint64_t *shape,
  const char *note, uint32_t position, uint32_t checksum, uint64_t *offset) {
  hsize_t dims[CHDF5_MAX_RANK];
  if (rank < 0 || rank > CHDF5_MAX_RANK) return chdf5_fail("too many axes");
  for (int i = 0; i < rank; i++) dims[i] = shape[i];
  hid_t type = chdf5_make_type(element_type);
  hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
  hid_t creation = creation_list(), link = link_list(name);
  hid_t dataset = -1;
  int result = -1;
  if (type >= 0 && space >= 0 && creation >= 0 && link >= 0)
    dataset = H5Dcreate2(group, name, type, space, link, creation, H5P_DEFAULT);
  const uint32_t values[] = {position, checksum};
  const hsize_t two = 2;
  if (dataset >= 0
      && write_attribute(dataset, note, H5T_NATIVE_UINT32, H5Screate_simple(1, &two, NULL), values) >= 0) {
    haddr_t address = H5Sget_simple_extent_npoints(space) == 0 ? 0 : H5Dget_offset(dataset);
    *offset = address;
    result = address == HADDR_UNDEF ? -1 : 0;
  }
  if (result < 0) chdf5_fail("the dataset cannot be created");
  if (dataset >= 0 && H5Dclose(dataset) < 0 && result == 0) result = chdf5_fail("the dataset cannot be closed");
  if (link >= 0) H5Pclose(link);
  if (creation >= 0) H5Pclose(creation);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return result;
}

int chdf5_write_number(chdf5_id object, const char *name, uint32_t number) {
  return write_attribute(object, name, H5T_NATIVE_UINT32, H5Screate(H5S_SCALAR), &number) < 0
           ? chdf5_fail("the attribute cannot be written") : 0;
}

int chdf5_write_string(chdf5_id object, const char *name, const char *value, size_t length) {
  hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0) return chdf5_fail(NULL);
  // No string of libhdf5 is empty: one zero byte stands for it.
  int result = H5Tset_size(type, length == 0 ? 1 : length) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0
                   && H5Tset_cset(type, H5T_CSET_UTF8) >= 0
                   && write_attribute(object, name, type, H5Screate(H5S_SCALAR), length == 0 ? "" : value) >= 0
                 ? 0 : chdf5_fail("the attribute cannot be written");
  H5Tclose(type);
  return result;
}
