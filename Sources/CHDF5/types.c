// Element types: libhdf5's, and ours.

#include "types.h"

#include <string.h>

// A float's layout in bits: total, sign's place, exponent's place and size, mantissa's place and size, bias.
typedef struct {
  chdf5_type type;
  size_t bytes, sign, exponent, exponent_size, mantissa, mantissa_size, bias;
} float_layout;

static const float_layout float_layouts[] = {
  {CHDF5_FLOAT16, 2, 15, 10, 5, 0, 10, 15},
  {CHDF5_BFLOAT16, 2, 15, 7, 8, 0, 7, 127},
  {CHDF5_FLOAT32, 4, 31, 23, 8, 0, 23, 127},
  {CHDF5_FLOAT64, 8, 63, 52, 11, 0, 52, 1023},
};

static chdf5_type float_type(hid_t type) {
  size_t sign, exponent, exponent_size, mantissa, mantissa_size;
  if (H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) < 0) return CHDF5_OTHER_TYPE;
  if (H5Tget_norm(type) != H5T_NORM_IMPLIED) return CHDF5_OTHER_TYPE;
  for (size_t i = 0; i < sizeof float_layouts / sizeof *float_layouts; i++) {
    const float_layout *l = &float_layouts[i];
    if (H5Tget_size(type) == l->bytes && sign == l->sign && exponent == l->exponent
        && exponent_size == l->exponent_size && mantissa == l->mantissa && mantissa_size == l->mantissa_size
        && H5Tget_ebias(type) == l->bias)
      return l->type;
  }
  return CHDF5_OTHER_TYPE;
}

static chdf5_type integer_type(hid_t type) {
  bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (H5Tget_size(type)) {
    case 1: return is_signed ? CHDF5_INT8 : CHDF5_UINT8;
    case 2: return is_signed ? CHDF5_INT16 : CHDF5_UINT16;
    case 4: return is_signed ? CHDF5_INT32 : CHDF5_UINT32;
    case 8: return is_signed ? CHDF5_INT64 : CHDF5_UINT64;
    default: return CHDF5_OTHER_TYPE;
  }
}

// h5py's bool: an enumeration of one byte, FALSE = 0 and TRUE = 1.
static bool is_bool(hid_t type) {
  unsigned char no = 1, yes = 0;
  return H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 && H5Tenum_valueof(type, "FALSE", &no) >= 0
         && H5Tenum_valueof(type, "TRUE", &yes) >= 0 && no == 0 && yes == 1;
}

static bool fills_its_bytes(hid_t type) {
  return H5Tget_offset(type) == 0 && H5Tget_precision(type) == 8 * H5Tget_size(type);
}

static const char *class_name(H5T_class_t class) {
  switch (class) {
    case H5T_INTEGER: return "an unusual integer";
    case H5T_FLOAT: return "an unusual float";
    case H5T_TIME: return "time";
    case H5T_STRING: return "string";
    case H5T_BITFIELD: return "bit field";
    case H5T_OPAQUE: return "opaque";
    case H5T_COMPOUND: return "compound";
    case H5T_REFERENCE: return "reference";
    case H5T_ENUM: return "enumeration";
    case H5T_VLEN: return "variable length";
    case H5T_ARRAY: return "array";
    default: return "unknown";
  }
}

chdf5_type chdf5_classify(hid_t type, bool *is_big_endian, const char **name) {
  H5T_class_t class = H5Tget_class(type);
  *name = class_name(class);
  *is_big_endian = false;
  // NumPy has no bfloat16, so h5py writes ml_dtypes.bfloat16 as two opaque bytes, with an empty tag or one of its own.
  if (class == H5T_OPAQUE) {
    char *tag = H5Tget_tag(type);
    bool from_numpy = tag && (*tag == '\0' || strncmp(tag, "NUMPY:", 6) == 0);
    H5free_memory(tag);
    return from_numpy && H5Tget_size(type) == 2 ? CHDF5_BFLOAT16 : CHDF5_OTHER_TYPE;
  }
  if (class == H5T_ENUM) return is_bool(type) ? CHDF5_BOOL : CHDF5_OTHER_TYPE;
  if ((class != H5T_FLOAT && class != H5T_INTEGER) || !fills_its_bytes(type)) return CHDF5_OTHER_TYPE;
  H5T_order_t order = H5Tget_order(type);
  if (order != H5T_ORDER_LE && order != H5T_ORDER_BE && order != H5T_ORDER_NONE) return CHDF5_OTHER_TYPE;
  *is_big_endian = order == H5T_ORDER_BE;
  return class == H5T_FLOAT ? float_type(type) : integer_type(type);
}

static hid_t make_float(const float_layout *l) {
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  if (type < 0) return -1;
  // Fields must lie inside the precision at each step, so a narrower float shrinks its fields first.
  if (H5Tset_fields(type, l->sign, l->exponent, l->exponent_size, l->mantissa, l->mantissa_size) < 0
      || H5Tset_precision(type, 8 * l->bytes) < 0 || H5Tset_size(type, l->bytes) < 0
      || H5Tset_ebias(type, l->bias) < 0) {
    H5Tclose(type);
    return -1;
  }
  return type;
}

static hid_t make_bool(void) {
  static const signed char no = 0, yes = 1;
  hid_t type = H5Tenum_create(H5T_STD_I8LE);
  if (type < 0) return -1;
  if (H5Tenum_insert(type, "FALSE", &no) < 0 || H5Tenum_insert(type, "TRUE", &yes) < 0) {
    H5Tclose(type);
    return -1;
  }
  return type;
}

hid_t chdf5_make_type(chdf5_type type) {
  switch (type) {
    case CHDF5_FLOAT16: return make_float(&float_layouts[0]);
    case CHDF5_BFLOAT16: return make_float(&float_layouts[1]);
    case CHDF5_FLOAT32: return H5Tcopy(H5T_IEEE_F32LE);
    case CHDF5_FLOAT64: return H5Tcopy(H5T_IEEE_F64LE);
    case CHDF5_INT8: return H5Tcopy(H5T_STD_I8LE);
    case CHDF5_INT16: return H5Tcopy(H5T_STD_I16LE);
    case CHDF5_INT32: return H5Tcopy(H5T_STD_I32LE);
    case CHDF5_INT64: return H5Tcopy(H5T_STD_I64LE);
    case CHDF5_UINT8: return H5Tcopy(H5T_STD_U8LE);
    case CHDF5_UINT16: return H5Tcopy(H5T_STD_U16LE);
    case CHDF5_UINT32: return H5Tcopy(H5T_STD_U32LE);
    case CHDF5_UINT64: return H5Tcopy(H5T_STD_U64LE);
    case CHDF5_BOOL: return make_bool();
    default: return -1;
  }
}
