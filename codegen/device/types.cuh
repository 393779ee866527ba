// Types and constants: NVRTC has no headers of its own, and none are needed.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define WARPLOOM_DEVICE [[maybe_unused]] static __device__ __forceinline__
#define NEGATIVE_INFINITY __int_as_float(0xff800000)
#define POSITIVE_INFINITY __int_as_float(0x7f800000)
#define FULL_WARP 0xffffffffu
#define NO_MEMBER 2147483647  // beyond every key and every member of a set

// A chosen set of one unit (head or KV head): bit c of row r says that (r, c) is a member.
// Members outside [row_from, row_from + rows) x [0, columns) are none.
struct SetView {
  const u32* bits;  // [rows, stride], 32 members a word, the lowest column in the lowest bit
  int stride;       // words per row
  int row_from;
  int rows;
  int columns;
};
