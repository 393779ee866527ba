// C++ without a meaning, as the compiler's checks of undefined behaviour find it: indices outside
// of arrays that lie in registers on a device, overflows of signed integers, shifts by too much,
// and vectors at addresses that are not theirs (which the hooks alone would miss where a vector is
// taken apart).
#include "fault.h"
#include "module.h"

#include <cstring>

namespace warploom {
namespace {

/// What the compiler says of the place, at the beginning of the data of every check.
struct Place {
  const char *file;
  u32 line, column;
};

/// What it says of a type.
struct Type {
  u16 kind, info;
  char name[1]; // quoted, and longer
};

struct IndexData {
  Place place;
  const Type *array, *index;
};

struct PointerData {
  Place place;
  const Type *type;
  u8 alignmentBits, access;
};

Site siteOf(const Place &place, const void *caller) {
  const char *ending = place.file ? std::strrchr(place.file, '.') : nullptr;
  // In a header of the emulator the line would not be one of the kernel's.
  return ending && std::strcmp(ending, ".cu") == 0 ? siteOfLine(static_cast<int>(place.line))
                                                   : module.siteOf(caller);
}

} // namespace
} // namespace warploom

using namespace warploom;

#define CHECK(name, what)                                                                          \
  extern "C" [[noreturn]] void __ubsan_handle_##name##_abort(const Place *place, u64, u64) {       \
    fault("undefined", siteOf(*place, __builtin_return_address(0)), what);                         \
  }
CHECK(add_overflow, "a sum overflows")
CHECK(sub_overflow, "a difference overflows")
CHECK(mul_overflow, "a product overflows")
CHECK(negate_overflow, "a negation overflows")
CHECK(divrem_overflow, "a division by zero, or one that overflows")
CHECK(shift_out_of_bounds, "a shift by as many bits as there are, or more")

extern "C" [[noreturn]] void __ubsan_handle_out_of_bounds_abort(const IndexData *data, u64 index) {
  fault("undefined", siteOf(data->place, __builtin_return_address(0)), "index %lld of %s",
        static_cast<long long>(index), data->array->name);
}

extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(const PointerData *data,
                                                                   u64 at) {
  fault("misaligned", siteOf(data->place, __builtin_return_address(0)),
        "takes %p for the address of a %s, which is aligned to %d", reinterpret_cast<void *>(at),
        data->type->name, 1 << data->alignmentBits);
}
