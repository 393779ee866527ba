// What CUDA C++ itself has and C++ has not: qualifiers, the thread's place, vector types, barriers,
// warp intrinsics, atomics, conversions. Stands before the text of every emulated kernel and, as
// NVRTC does, includes nothing.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// All static shared variables lie in one section, so that the engine can find them. `used`: what a
// kernel never writes is no constant, it is poison.
#define __shared__ static __attribute__((section("warploom_shared"), used))

#define WARPLOOM_INTRINSIC static inline __attribute__((always_inline))
// The line of a call, as a last argument that nobody gives. A type of its own, so that no number of
// the caller's is taken for it.
struct WarploomLine {
  int at;
  explicit constexpr WarploomLine(int at) : at(at) {}
};
#define WARPLOOM_LINE WarploomLine line = WarploomLine(__builtin_LINE())

// ---- vectors ----

#define WARPLOOM_VECTORS(type, name, size)                                                         \
  struct __attribute__((aligned(2 * size))) name##2 { type x, y; };                                \
  struct name##3 { type x, y, z; };                                                                \
  struct __attribute__((aligned(4 * size > 16 ? 16 : 4 * size))) name##4 { type x, y, z, w; };     \
  WARPLOOM_INTRINSIC name##2 make_##name##2(type x, type y) { return {x, y}; }                     \
  WARPLOOM_INTRINSIC name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }          \
  WARPLOOM_INTRINSIC name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
WARPLOOM_VECTORS(unsigned, uint, 4)
WARPLOOM_VECTORS(signed char, char, 1)
WARPLOOM_VECTORS(unsigned char, uchar, 1)
WARPLOOM_VECTORS(short, short, 2)
WARPLOOM_VECTORS(unsigned short, ushort, 2)
WARPLOOM_VECTORS(int, int, 4)
WARPLOOM_VECTORS(float, float, 4)
WARPLOOM_VECTORS(double, double, 8)
WARPLOOM_VECTORS(long long, longlong, 8)
WARPLOOM_VECTORS(unsigned long long, ulonglong, 8)

// ---- places ----

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
extern "C" {
// The same for a thread as long as it runs, whatever else happens.
uint3 warploomThread() __attribute__((const));
uint3 warploomBlock() __attribute__((const));
uint3 warploomThreads() __attribute__((const));
uint3 warploomBlocks() __attribute__((const));
}
#define threadIdx warploomThread()
#define blockIdx warploomBlock()
#define blockDim warploomThreads()
#define gridDim warploomBlocks()
#define warpSize 32

// ---- barriers and fences ----

extern "C" {
int warploomSyncThreads(bool vote, int line);
void warploomFence(bool acrossBlocks);
}
WARPLOOM_INTRINSIC void __syncthreads(WARPLOOM_LINE) { warploomSyncThreads(false, line.at); }
WARPLOOM_INTRINSIC int __syncthreads_count(int vote, WARPLOOM_LINE) {
  return warploomSyncThreads(vote != 0, line.at);
}
WARPLOOM_INTRINSIC int __syncthreads_or(int vote, WARPLOOM_LINE) {
  return warploomSyncThreads(vote != 0, line.at) != 0;
}
WARPLOOM_INTRINSIC int __syncthreads_and(int vote, WARPLOOM_LINE) {
  return warploomSyncThreads(vote == 0, line.at) == 0;
}
WARPLOOM_INTRINSIC void __threadfence() { warploomFence(true); }
WARPLOOM_INTRINSIC void __threadfence_block() { warploomFence(false); }

// ---- bits of values ----

#define WARPLOOM_SAME_BITS(name, to, from)                                                         \
  WARPLOOM_INTRINSIC to name(from value) { return __builtin_bit_cast(to, value); }
WARPLOOM_SAME_BITS(__int_as_float, float, int)
WARPLOOM_SAME_BITS(__float_as_int, int, float)
WARPLOOM_SAME_BITS(__uint_as_float, float, unsigned)
WARPLOOM_SAME_BITS(__float_as_uint, unsigned, float)
WARPLOOM_SAME_BITS(__longlong_as_double, double, long long)
WARPLOOM_SAME_BITS(__double_as_longlong, long long, double)

WARPLOOM_INTRINSIC int __popc(unsigned x) { return __builtin_popcount(x); }
WARPLOOM_INTRINSIC int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
WARPLOOM_INTRINSIC int __ffs(int x) { return __builtin_ffs(x); }
WARPLOOM_INTRINSIC int __ffsll(long long x) { return __builtin_ffsll(x); }
WARPLOOM_INTRINSIC int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
WARPLOOM_INTRINSIC int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll((unsigned long long)x);
}
WARPLOOM_INTRINSIC unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
WARPLOOM_INTRINSIC unsigned long long __brevll(unsigned long long x) {
  return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}
WARPLOOM_INTRINSIC unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)((unsigned long long)a * b >> 32);
}
WARPLOOM_INTRINSIC int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
WARPLOOM_INTRINSIC unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
WARPLOOM_INTRINSIC unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return (unsigned)(((unsigned long long)high << 32 | low) << (by & 31) >> 32);
}
WARPLOOM_INTRINSIC unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}
WARPLOOM_INTRINSIC unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const unsigned long long bytes = (unsigned long long)high << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = selector >> (4 * i) & 15;
    unsigned byte = (unsigned)(bytes >> (8 * (pick & 7))) & 255;
    if (pick & 8)
      byte = byte & 128 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}

template <class T> WARPLOOM_INTRINSIC T __ldg(const T *at) { return *at; }

// ---- numbers ----

extern "C" {
float exp2f(float);
float expf(float);
float exp10f(float);
float log2f(float);
float logf(float);
float log10f(float);
float log1pf(float);
float expm1f(float);
float tanhf(float);
float sinf(float);
float cosf(float);
float tanf(float);
float atanf(float);
float atan2f(float, float);
float erff(float);
float powf(float, float);
float sqrtf(float);
float cbrtf(float);
float fabsf(float);
float floorf(float);
float ceilf(float);
float truncf(float);
float roundf(float);
float rintf(float);
float nearbyintf(float);
float fmodf(float, float);
float fmaxf(float, float);
float fminf(float, float);
float fmaf(float, float, float);
float copysignf(float, float);
float ldexpf(float, int);
float scalbnf(float, int);
double exp2(double);
double exp(double);
double log2(double);
double log(double);
double sqrt(double);
double floor(double);
double ceil(double);
double trunc(double);
double rint(double);
double fabs(double);
double fma(double, double, double);
double fmax(double, double);
double fmin(double, double);
double ldexp(double, int);
int abs(int) noexcept;
}
WARPLOOM_INTRINSIC bool isnan(float x) { return x != x; }
WARPLOOM_INTRINSIC bool isnan(double x) { return x != x; }
WARPLOOM_INTRINSIC bool isinf(float x) { return __builtin_isinf(x); }
WARPLOOM_INTRINSIC bool isfinite(float x) { return __builtin_isfinite(x); }
WARPLOOM_INTRINSIC float rsqrtf(float x) { return 1.0f / sqrtf(x); }
WARPLOOM_INTRINSIC float __expf(float x) { return expf(x); }
WARPLOOM_INTRINSIC float __logf(float x) { return logf(x); }
WARPLOOM_INTRINSIC float __log2f(float x) { return log2f(x); }
WARPLOOM_INTRINSIC float __powf(float x, float y) { return powf(x, y); }
WARPLOOM_INTRINSIC float __sinf(float x) { return sinf(x); }
WARPLOOM_INTRINSIC float __cosf(float x) { return cosf(x); }
WARPLOOM_INTRINSIC float __fdividef(float x, float y) { return x / y; }
WARPLOOM_INTRINSIC float __frcp_rn(float x) { return 1.0f / x; }
WARPLOOM_INTRINSIC float __fsqrt_rn(float x) { return sqrtf(x); }
// Never fused: a number that the compiler does not know as a product.
template <class T> WARPLOOM_INTRINSIC T warploomRounded(T x) {
  asm("" : "+g"(x));
  return x;
}
WARPLOOM_INTRINSIC float __fadd_rn(float x, float y) {
  return warploomRounded(x) + warploomRounded(y);
}
WARPLOOM_INTRINSIC float __fsub_rn(float x, float y) {
  return warploomRounded(x) - warploomRounded(y);
}
WARPLOOM_INTRINSIC float __fmul_rn(float x, float y) { return warploomRounded(x * y); }
WARPLOOM_INTRINSIC float __fdiv_rn(float x, float y) { return x / y; }
WARPLOOM_INTRINSIC float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
WARPLOOM_INTRINSIC double __dadd_rn(double x, double y) {
  return warploomRounded(x) + warploomRounded(y);
}
WARPLOOM_INTRINSIC double __dmul_rn(double x, double y) { return warploomRounded(x * y); }
WARPLOOM_INTRINSIC float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
WARPLOOM_INTRINSIC float __int2float_rn(int x) { return (float)x; }
WARPLOOM_INTRINSIC float __uint2float_rn(unsigned x) { return (float)x; }
WARPLOOM_INTRINSIC float __ll2float_rn(long long x) { return (float)x; }

// Conversions of floats saturate, and a NaN gives 0.
template <class T> WARPLOOM_INTRINSIC T warploomInteger(float x, T low, T high) {
  if (x != x)
    return 0;
  if (x <= (float)low)
    return low;
  if (x >= (float)high)
    return high;
  return (T)x;
}
WARPLOOM_INTRINSIC int warploomInt(float x) {
  return warploomInteger(x, -0x7fffffff - 1, 0x7fffffff);
}
WARPLOOM_INTRINSIC unsigned warploomUnsigned(float x) {
  return warploomInteger(x, 0u, 0xffffffffu);
}
WARPLOOM_INTRINSIC int __float2int_rn(float x) { return warploomInt(rintf(x)); }
WARPLOOM_INTRINSIC int __float2int_rz(float x) { return warploomInt(truncf(x)); }
WARPLOOM_INTRINSIC int __float2int_rd(float x) { return warploomInt(floorf(x)); }
WARPLOOM_INTRINSIC int __float2int_ru(float x) { return warploomInt(ceilf(x)); }
WARPLOOM_INTRINSIC unsigned __float2uint_rn(float x) { return warploomUnsigned(rintf(x)); }
WARPLOOM_INTRINSIC unsigned __float2uint_rz(float x) { return warploomUnsigned(truncf(x)); }
WARPLOOM_INTRINSIC unsigned __float2uint_rd(float x) { return warploomUnsigned(floorf(x)); }
WARPLOOM_INTRINSIC unsigned __float2uint_ru(float x) { return warploomUnsigned(ceilf(x)); }

#define WARPLOOM_EXTREMES(type)                                                                    \
  WARPLOOM_INTRINSIC constexpr type min(type x, type y) { return y < x ? y : x; }                  \
  WARPLOOM_INTRINSIC constexpr type max(type x, type y) { return x < y ? y : x; }
WARPLOOM_EXTREMES(int)
WARPLOOM_EXTREMES(unsigned)
WARPLOOM_EXTREMES(long)
WARPLOOM_EXTREMES(unsigned long)
WARPLOOM_EXTREMES(long long)
WARPLOOM_EXTREMES(unsigned long long)
// Mixed signs compare unsigned, as CUDA's do.
WARPLOOM_INTRINSIC constexpr unsigned min(int x, unsigned y) { return min((unsigned)x, y); }
WARPLOOM_INTRINSIC constexpr unsigned min(unsigned x, int y) { return min(x, (unsigned)y); }
WARPLOOM_INTRINSIC constexpr unsigned max(int x, unsigned y) { return max((unsigned)x, y); }
WARPLOOM_INTRINSIC constexpr unsigned max(unsigned x, int y) { return max(x, (unsigned)y); }
WARPLOOM_INTRINSIC float min(float x, float y) { return fminf(x, y); }
WARPLOOM_INTRINSIC float max(float x, float y) { return fmaxf(x, y); }
WARPLOOM_INTRINSIC double min(double x, double y) { return fmin(x, y); }
WARPLOOM_INTRINSIC double max(double x, double y) { return fmax(x, y); }

// ---- lanes of a warp ----

enum WarploomShuffle { warploomFromLane, warploomUp, warploomDown, warploomXor };
enum WarploomVote { warploomBallot, warploomMatch };
enum WarploomReduction {
  warploomAdd,
  warploomMin,
  warploomMax,
  warploomMinSigned,
  warploomMaxSigned,
  warploomAnd,
  warploomOr,
  warploomExclusiveOr
};
extern "C" {
unsigned long long warploomShuffle(WarploomShuffle kind, unsigned mask, unsigned long long bits,
                                   int lane, int width, int line);
unsigned warploomVote(WarploomVote kind, unsigned mask, unsigned long long value, int line);
unsigned warploomReduce(WarploomReduction kind, unsigned mask, unsigned value, int line);
void warploomSyncWarp(unsigned mask, int line);
unsigned warploomActive();
}
WARPLOOM_INTRINSIC void __syncwarp(unsigned mask = 0xffffffffu, WARPLOOM_LINE) {
  warploomSyncWarp(mask, line.at);
}
WARPLOOM_INTRINSIC unsigned __activemask() { return warploomActive(); }

template <class T>
WARPLOOM_INTRINSIC T warploomShuffled(WarploomShuffle kind, unsigned mask, T value, int lane,
                                      int width, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
  if constexpr (sizeof(T) == 4) {
    const unsigned bits = __builtin_bit_cast(unsigned, value);
    return __builtin_bit_cast(T, (unsigned)warploomShuffle(kind, mask, bits, lane, width, line));
  } else {
    const unsigned long long bits = __builtin_bit_cast(unsigned long long, value);
    return __builtin_bit_cast(T, warploomShuffle(kind, mask, bits, lane, width, line));
  }
}
template <class T>
WARPLOOM_INTRINSIC T __shfl_sync(unsigned mask, T value, int lane, int width = 32, WARPLOOM_LINE) {
  return warploomShuffled(warploomFromLane, mask, value, lane, width, line.at);
}
template <class T>
WARPLOOM_INTRINSIC T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                                    WARPLOOM_LINE) {
  return warploomShuffled(warploomUp, mask, value, (int)by, width, line.at);
}
template <class T>
WARPLOOM_INTRINSIC T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                                      WARPLOOM_LINE) {
  return warploomShuffled(warploomDown, mask, value, (int)by, width, line.at);
}
template <class T>
WARPLOOM_INTRINSIC T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32,
                                     WARPLOOM_LINE) {
  return warploomShuffled(warploomXor, mask, value, by, width, line.at);
}
WARPLOOM_INTRINSIC unsigned __ballot_sync(unsigned mask, int vote, WARPLOOM_LINE) {
  return warploomVote(warploomBallot, mask, vote != 0, line.at);
}
WARPLOOM_INTRINSIC int __any_sync(unsigned mask, int vote, WARPLOOM_LINE) {
  return warploomVote(warploomBallot, mask, vote != 0, line.at) != 0;
}
WARPLOOM_INTRINSIC int __all_sync(unsigned mask, int vote, WARPLOOM_LINE) {
  return warploomVote(warploomBallot, mask, vote == 0, line.at) == 0;
}
template <class T>
WARPLOOM_INTRINSIC unsigned __match_any_sync(unsigned mask, T value, WARPLOOM_LINE) {
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  return warploomVote(warploomMatch, mask, bits, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_add_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomAdd, mask, value, line.at);
}
WARPLOOM_INTRINSIC int __reduce_add_sync(unsigned mask, int value, WARPLOOM_LINE) {
  return (int)warploomReduce(warploomAdd, mask, (unsigned)value, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_min_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomMin, mask, value, line.at);
}
WARPLOOM_INTRINSIC int __reduce_min_sync(unsigned mask, int value, WARPLOOM_LINE) {
  return (int)warploomReduce(warploomMinSigned, mask, (unsigned)value, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_max_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomMax, mask, value, line.at);
}
WARPLOOM_INTRINSIC int __reduce_max_sync(unsigned mask, int value, WARPLOOM_LINE) {
  return (int)warploomReduce(warploomMaxSigned, mask, (unsigned)value, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_and_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomAnd, mask, value, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_or_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomOr, mask, value, line.at);
}
WARPLOOM_INTRINSIC unsigned __reduce_xor_sync(unsigned mask, unsigned value, WARPLOOM_LINE) {
  return warploomReduce(warploomExclusiveOr, mask, value, line.at);
}

// ---- atomics ----

enum WarploomAtomic {
  warploomAtomicAdd,
  warploomAtomicMin,
  warploomAtomicMax,
  warploomAtomicMinSigned,
  warploomAtomicMaxSigned,
  warploomAtomicAnd,
  warploomAtomicOr,
  warploomAtomicExclusiveOr,
  warploomAtomicExchange,
  warploomAtomicCompare,
  warploomAtomicAddFloat
};
extern "C" {
unsigned warploomAtomic4(WarploomAtomic kind, void *at, unsigned value, unsigned expected,
                         int line);
unsigned long long warploomAtomic8(WarploomAtomic kind, void *at, unsigned long long value,
                                   unsigned long long expected, int line);
}
#define WARPLOOM_ATOMIC(name, kind, type, size, unsigned_type)                                     \
  WARPLOOM_INTRINSIC type name(type *at, type value, WARPLOOM_LINE) {                              \
    return (type)warploomAtomic##size(kind, at, (unsigned_type)value, 0, line.at);                 \
  }
#define WARPLOOM_ATOMICS(name, kind, signed_kind)                                                  \
  WARPLOOM_ATOMIC(name, signed_kind, int, 4, unsigned)                                             \
  WARPLOOM_ATOMIC(name, kind, unsigned, 4, unsigned)                                               \
  WARPLOOM_ATOMIC(name, signed_kind, long long, 8, unsigned long long)                             \
  WARPLOOM_ATOMIC(name, kind, unsigned long long, 8, unsigned long long)
WARPLOOM_ATOMICS(atomicAdd, warploomAtomicAdd, warploomAtomicAdd)
WARPLOOM_ATOMICS(atomicMin, warploomAtomicMin, warploomAtomicMinSigned)
WARPLOOM_ATOMICS(atomicMax, warploomAtomicMax, warploomAtomicMaxSigned)
WARPLOOM_ATOMICS(atomicAnd, warploomAtomicAnd, warploomAtomicAnd)
WARPLOOM_ATOMICS(atomicOr, warploomAtomicOr, warploomAtomicOr)
WARPLOOM_ATOMICS(atomicXor, warploomAtomicExclusiveOr, warploomAtomicExclusiveOr)
WARPLOOM_ATOMICS(atomicExch, warploomAtomicExchange, warploomAtomicExchange)
WARPLOOM_INTRINSIC float atomicAdd(float *at, float value, WARPLOOM_LINE) {
  return __uint_as_float(
      warploomAtomic4(warploomAtomicAddFloat, at, __float_as_uint(value), 0, line.at));
}
WARPLOOM_INTRINSIC float atomicExch(float *at, float value, WARPLOOM_LINE) {
  return __uint_as_float(
      warploomAtomic4(warploomAtomicExchange, at, __float_as_uint(value), 0, line.at));
}
WARPLOOM_INTRINSIC int atomicSub(int *at, int value, WARPLOOM_LINE) {
  return (int)warploomAtomic4(warploomAtomicAdd, at, 0u - (unsigned)value, 0, line.at);
}
WARPLOOM_INTRINSIC unsigned atomicSub(unsigned *at, unsigned value, WARPLOOM_LINE) {
  return warploomAtomic4(warploomAtomicAdd, at, 0u - value, 0, line.at);
}
WARPLOOM_INTRINSIC int atomicCAS(int *at, int expected, int value, WARPLOOM_LINE) {
  return (int)warploomAtomic4(warploomAtomicCompare, at, (unsigned)value, (unsigned)expected,
                              line.at);
}
WARPLOOM_INTRINSIC unsigned atomicCAS(unsigned *at, unsigned expected, unsigned value,
                                      WARPLOOM_LINE) {
  return warploomAtomic4(warploomAtomicCompare, at, value, expected, line.at);
}
WARPLOOM_INTRINSIC unsigned long long atomicCAS(unsigned long long *at, unsigned long long expected,
                                                unsigned long long value, WARPLOOM_LINE) {
  return warploomAtomic8(warploomAtomicCompare, at, value, expected, line.at);
}

// ---- the rest ----

extern "C" {
int warploomPrint(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void warploomFail(const char *what, int line);
void warploomBreak(int line);
unsigned warploomSharedAddress(const void *pointer, int line);
void *warploomDynamicShared() __attribute__((const));
}
#define printf warploomPrint
#define assert(condition) ((condition) ? (void)0 : warploomFail("assert(" #condition ")", __LINE__))
WARPLOOM_INTRINSIC void __trap(WARPLOOM_LINE) { warploomFail("__trap()", line.at); }
WARPLOOM_INTRINSIC unsigned long __cvta_generic_to_shared(const void *pointer, WARPLOOM_LINE) {
  return warploomSharedAddress(pointer, line.at);
}
WARPLOOM_INTRINSIC void __brkpt(WARPLOOM_LINE) { warploomBreak(line.at); }
WARPLOOM_INTRINSIC void __nanosleep(unsigned) {}

// A kernel without static shared variables has a section all the same.
__shared__ unsigned char warploomNothing[16];
