// Looking at links and datasets without following or reading anything the caller has not asked for.

#include <stdlib.h>
#include <string.h>

#include "types.h"

// MARK: Links

typedef struct {
  chdf5_link_list *list;
  size_t capacity, limit;
  bool out_of_memory;
} link_collector;

static chdf5_link_kind link_kind(H5L_type_t type) {
  switch (type) {
    case H5L_TYPE_HARD: return CHDF5_HARD_LINK;
    case H5L_TYPE_SOFT: return CHDF5_SOFT_LINK;
    case H5L_TYPE_EXTERNAL: return CHDF5_EXTERNAL_LINK;
    default: return CHDF5_OTHER_LINK;
  }
}

static herr_t collect_link(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  (void)group;
  link_collector *collector = context;
  chdf5_link_list *list = collector->list;
  if (list->count == collector->limit) {
    list->exceeds_limit = true;
    return 1;
  }
  if (list->count == collector->capacity) {
    size_t capacity = collector->capacity ? 2 * collector->capacity : 64;
    chdf5_link *links = realloc(list->links, capacity * sizeof *links);
    if (!links) {
      collector->out_of_memory = true;
      return -1;
    }
    list->links = links;
    collector->capacity = capacity;
  }
  char *copy = strdup(name);
  if (!copy) {
    collector->out_of_memory = true;
    return -1;
  }
  chdf5_link_kind kind = link_kind(info->type);
  list->links[list->count++] =
    (chdf5_link){.name = copy, .kind = kind, .address = kind == CHDF5_HARD_LINK ? info->u.address : 0};
  return 0;
}

static int compare_addresses(const void *a, const void *b) {
  uint64_t left = ((const chdf5_link *)a)->address, right = ((const chdf5_link *)b)->address;
  return left < right ? -1 : left > right;
}

int chdf5_list_links(chdf5_id group, size_t limit, chdf5_link_list *list) {
  *list = (chdf5_link_list){0};
  link_collector collector = {.list = list, .limit = limit};
  // In native order libhdf5 walks a large group's index as it is. In any other it first builds a table, and where the
  // index is damaged it then frees what it has not filled (seen in 1.10.8).
  herr_t result = H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, collect_link, &collector);
  if (result >= 0) {
    qsort(list->links, list->count, sizeof *list->links, compare_addresses);
    return 0;
  }
  chdf5_free_links(list);
  return chdf5_fail(collector.out_of_memory ? "out of memory" : NULL);
}

void chdf5_free_links(chdf5_link_list *list) {
  for (size_t i = 0; i < list->count; i++) free(list->links[i].name);
  free(list->links);
  *list = (chdf5_link_list){0};
}

int chdf5_open_object(chdf5_id group, const char *name, chdf5_id *object, chdf5_object_kind *kind) {
  hid_t opened = H5Oopen(group, name, H5P_DEFAULT);
  if (opened < 0) return chdf5_fail(NULL);
  H5I_type_t type = H5Iget_type(opened);
  *kind = type == H5I_GROUP ? CHDF5_GROUP : type == H5I_DATASET ? CHDF5_DATASET : CHDF5_OTHER_OBJECT;
  *object = opened;
  return 0;
}

// MARK: Attributes

int chdf5_has_attribute(chdf5_id object, const char *name) {
  htri_t exists = H5Aexists(object, name);
  return exists < 0 ? chdf5_fail(NULL) : exists > 0;
}

// Reads an attribute of `count` uint32, little-endian in the file, where the object has one of that name.
static int read_numbers(hid_t object, const char *name, hssize_t count, bool *exists, uint32_t *numbers) {
  htri_t found = H5Aexists(object, name);
  *exists = found > 0;
  if (found <= 0) return found < 0 ? -1 : 0;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
  bool usable = space >= 0 && type >= 0 && H5Sget_simple_extent_npoints(space) == count
                && H5Tequal(type, H5T_STD_U32LE) > 0;
  int result = usable && H5Aread(attribute, H5T_NATIVE_UINT32, numbers) >= 0 ? 0 : -1;
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return result;
}

int chdf5_read_number(chdf5_id object, const char *name, bool *exists, uint32_t *number) {
  return read_numbers(object, name, 1, exists, number) < 0 ? chdf5_fail("the attribute cannot be read") : 0;
}

static int read_note(hid_t dataset, const char *name, chdf5_dataset *d) {
  uint32_t note[2] = {0, 0};
  int result = read_numbers(dataset, name, 2, &d->has_note, note);
  d->position = note[0];
  d->checksum = note[1];
  return result;
}

typedef struct {
  chdf5_attribute_function each;
  void *context;
} string_visitor;

// Hands over a scalar string attribute of fixed length; passes over what is no such thing. Strings of variable length lie
// in a heap whose damage libhdf5 does not notice (1.10.8 reads outside its memory): they are passed over, too.
static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context) {
  (void)info;
  const string_visitor *visitor = context;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
  herr_t result = space >= 0 && type >= 0 ? 0 : -1;
  if (result == 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0
      && H5Sget_simple_extent_type(space) == H5S_SCALAR) {
    size_t size = H5Tget_size(type);
    char *value = size <= H5Aget_storage_size(attribute) ? malloc(size + 1) : NULL;
    result = value ? H5Aread(attribute, type, value) : -1;
    if (result >= 0) visitor->each(visitor->context, name, value, strnlen(value, size));
    free(value);
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return result < 0 ? -1 : 0;
}

int chdf5_for_each_string(chdf5_id object, chdf5_attribute_function each, void *context) {
  string_visitor visitor = {.each = each, .context = context};
  return H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, &visitor) < 0 ? chdf5_fail(NULL) : 0;
}

// MARK: Datasets

static int describe_type(hid_t dataset, chdf5_dataset *d) {
  hid_t type = H5Dget_type(dataset);
  if (type < 0) return -1;
  htri_t committed = H5Tcommitted(type);
  d->type_is_committed = committed != 0;
  d->type = chdf5_classify(type, &d->is_big_endian, &d->type_name);
  H5Tclose(type);
  return committed < 0 ? -1 : 0;
}

static int describe_space(hid_t dataset, chdf5_dataset *d) {
  hid_t space = H5Dget_space(dataset);
  if (space < 0) return -1;
  hsize_t dims[H5S_MAX_RANK];
  H5S_class_t kind = H5Sget_simple_extent_type(space);
  d->has_null_space = kind == H5S_NULL;
  d->rank = kind == H5S_SIMPLE ? H5Sget_simple_extent_dims(space, dims, NULL) : 0;
  H5Sclose(space);
  if (kind == H5S_NO_CLASS || d->rank < 0 || d->rank > CHDF5_MAX_RANK) return -1;
  for (int i = 0; i < d->rank; i++) d->shape[i] = dims[i];
  return 0;
}

static int describe_filters(hid_t creation, chdf5_dataset *d) {
  d->filters = H5Pget_nfilters(creation);
  if (d->filters < 0) return -1;
  for (int i = 0; i < d->filters; i++) {
    unsigned flags, config;
    size_t values = 0;
    H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
    if (filter < 0) return -1;
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
      d->has_unusual_filter = true;
  }
  return 0;
}

static int describe_chunks(hid_t creation, chdf5_dataset *d) {
  hsize_t dims[H5S_MAX_RANK];
  int rank = H5Pget_chunk(creation, H5S_MAX_RANK, dims);
  if (rank < 0) return -1;
  d->chunk_bytes = sizeof(double);  // no element that is read is larger
  for (int i = 0; i < rank; i++)
    if (__builtin_mul_overflow(d->chunk_bytes, dims[i], &d->chunk_bytes)) return -1;
  return 0;
}

static int describe_storage(hid_t dataset, bool visits_chunks, chdf5_dataset *d) {
  hid_t creation = H5Dget_create_plist(dataset);
  if (creation < 0) return -1;
  int result = 0;
  switch (H5Pget_layout(creation)) {
    case H5D_COMPACT: d->layout = CHDF5_COMPACT; break;
    case H5D_CONTIGUOUS: d->layout = CHDF5_CONTIGUOUS; break;
    case H5D_CHUNKED: d->layout = CHDF5_CHUNKED; break;
    case H5D_VIRTUAL: d->layout = CHDF5_VIRTUAL; break;
    default: d->layout = CHDF5_OTHER_LAYOUT; break;
  }
  // A virtual dataset's shape and size are found by opening other files: nothing more is asked of one.
  if (d->layout == CHDF5_COMPACT || d->layout == CHDF5_CONTIGUOUS || d->layout == CHDF5_CHUNKED) {
    d->external_files = H5Pget_external_count(creation);
    if (d->external_files < 0 || describe_filters(creation, d) < 0) result = -1;
    if (d->layout == CHDF5_CHUNKED && describe_chunks(creation, d) < 0) result = -1;
    if (d->layout != CHDF5_CHUNKED || visits_chunks) d->stored_bytes = H5Dget_storage_size(dataset);
  }
  if (d->layout == CHDF5_CONTIGUOUS && d->external_files == 0) {
    haddr_t offset = H5Dget_offset(dataset);
    d->has_offset = offset != HADDR_UNDEF;
    d->offset = d->has_offset ? offset : 0;
    H5Eclear2(H5E_DEFAULT);
  }
  H5Pclose(creation);
  return result;
}

int chdf5_describe_dataset(chdf5_id dataset, const char *note, bool visits_chunks, chdf5_dataset *d) {
  *d = (chdf5_dataset){.type = CHDF5_OTHER_TYPE, .type_name = ""};
  if (describe_storage(dataset, visits_chunks, d) < 0) return chdf5_fail("the dataset's storage cannot be described");
  if (d->layout == CHDF5_VIRTUAL || d->layout == CHDF5_OTHER_LAYOUT) return 0;
  if (describe_type(dataset, d) < 0 || describe_space(dataset, d) < 0 || read_note(dataset, note, d) < 0)
    return chdf5_fail("the dataset cannot be described");
  return 0;
}

int chdf5_read_dataset(chdf5_id dataset, void *bytes, size_t count) {
  hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  int result = -1;
  if (type >= 0 && space >= 0) {
    hssize_t elements = H5Sget_simple_extent_npoints(space);
    if (elements >= 0 && (size_t)elements * H5Tget_size(type) == count)
      result = count == 0 || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0 ? 0 : -1;
  }
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return result < 0 ? chdf5_fail("the dataset cannot be read") : 0;
}
