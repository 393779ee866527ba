// The engine's side of what CUDA C++ itself has: barriers, the lanes of a warp, atomics, printing.
#include "../engine/block.h"
#include "../engine/fault.h"
#include "../engine/memory.h"
#include "../engine/module.h"
#include "../engine/numbers.h"
#include "../engine/shared.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

using namespace warploom;

namespace {

// ---- lanes ----
// Words of a shuffle: the value (2), the source lane, whether it lies in this lane's part of the
// warp.

void shuffle(Words *lanes, u32 mask, Site site) {
  Words old[warpSize];
  for (int lane = 0; lane < warpSize; ++lane)
    old[lane] = lanes[lane];
  const int first = block.current / warpSize * warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    const int from = static_cast<int>(old[lane].at[2]);
    const RunsAs thread(first + lane);
    if (!(mask >> from & 1))
      fault("divergence", site, "shuffles from lane %d, which is not in the mask %08x", from, mask);
    lanes[lane].at[0] = old[from].at[0];
    lanes[lane].at[1] = old[from].at[1];
  }
}

void ballot(Words *lanes, u32 mask, Site) {
  u32 votes = 0;
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1 && lanes[lane].at[0])
      votes |= 1u << lane;
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1)
      lanes[lane].at[0] = votes;
}

void match(Words *lanes, u32 mask, Site) {
  u32 same[warpSize] = {};
  for (int lane = 0; lane < warpSize; ++lane)
    for (int other = 0; other < warpSize; ++other)
      if (mask >> lane & 1 && mask >> other & 1 && lanes[lane].at[0] == lanes[other].at[0] &&
          lanes[lane].at[1] == lanes[other].at[1])
        same[lane] |= 1u << other;
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1)
      lanes[lane].at[0] = same[lane];
}

// The orders of these names are those of the enumerations in cuda.h.
enum Reduction { add, least, most, leastSigned, mostSigned, bitAnd, bitOr, bitExclusiveOr };

template <class T, class Signed> T combine(int kind, T x, T y) {
  const bool isBelow = static_cast<Signed>(x) < static_cast<Signed>(y);
  switch (kind) {
  case add:
    return x + y;
  case least:
    return x < y ? x : y;
  case most:
    return x < y ? y : x;
  case leastSigned:
    return isBelow ? x : y;
  case mostSigned:
    return isBelow ? y : x;
  case bitAnd:
    return x & y;
  case bitOr:
    return x | y;
  default:
    return x ^ y;
  }
}

template <int kind> void reduce(Words *lanes, u32 mask, Site) {
  u32 result = 0;
  bool isFirst = true;
  for (int lane = 0; lane < warpSize; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    const u32 value = lanes[lane].at[0];
    result = isFirst ? value : combine<u32, i32>(kind, result, value);
    isFirst = false;
  }
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1)
      lanes[lane].at[0] = result;
}

void synchronise(Words *, u32 mask, Site) {
  std::vector<int> threads;
  const int first = block.current / warpSize * warpSize;
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1)
      threads.push_back(first + lane);
  block.clocks.meet(threads);
}

const Collective shuffles[] = {{"__shfl_sync", shuffle},
                               {"__shfl_up_sync", shuffle},
                               {"__shfl_down_sync", shuffle},
                               {"__shfl_xor_sync", shuffle}};
const Collective votes[] = {{"a warp's vote", ballot}, {"__match_any_sync", match}};
const Collective reductions[] = {
    {"__reduce_add_sync", reduce<add>},        {"__reduce_min_sync", reduce<least>},
    {"__reduce_max_sync", reduce<most>},       {"__reduce_min_sync", reduce<leastSigned>},
    {"__reduce_max_sync", reduce<mostSigned>}, {"__reduce_and_sync", reduce<bitAnd>},
    {"__reduce_or_sync", reduce<bitOr>},       {"__reduce_xor_sync", reduce<bitExclusiveOr>}};
const Collective syncWarp = {"__syncwarp", synchronise};

/// Where a shuffle takes its value from (the CUDA programming guide, "Warp Shuffle Functions").
int sourceOf(int kind, int lane, int by, int width) {
  const int from = lane / width * width, to = from + width;
  switch (kind) {
  case 0:
    return from + ((by % width) + width) % width;
  case 1:
    return lane - by < from ? lane : lane - by;
  case 2:
    return lane + by >= to ? lane : lane + by;
  default:
    return (lane ^ by) >= to ? lane : lane ^ by;
  }
}

// ---- atomics ----

enum Atomic { exchange = 8, compare, addFloat };

template <class T, class Signed> T atomic(int kind, void *at, T value, T expected, int line) {
  const Site site = siteOfLine(line);
  if (reinterpret_cast<u64>(at) % sizeof(T) != 0)
    fault("misaligned", site, "updates %d bytes at %p", static_cast<int>(sizeof(T)), at);
  if (shared.holds(at)) {
    const u32 address = shared.address(at, site);
    shared.host(address, sizeof(T), "updates", site);
    shared.update(address, sizeof(T), site);
  } else {
    memory.update(at, sizeof(T), site);
  }
  T *place = static_cast<T *>(at);
  T old = __atomic_load_n(place, __ATOMIC_RELAXED), next;
  do {
    if (kind == exchange)
      next = value;
    else if (kind == compare)
      next = old == expected ? value : old;
    else if (kind == addFloat)
      next = bitsOf(floatOfBits(static_cast<u32>(old)) + floatOfBits(static_cast<u32>(value)));
    else
      next = combine<T, Signed>(kind, old, value);
  } while (
      !__atomic_compare_exchange_n(place, &old, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

// ---- debuggers ----

bool isTraced() {
  std::ifstream status("/proc/self/status");
  if (!status)
    return true; // nobody can tell: a debugger is there, or the process ends
  const std::string name = "TracerPid:";
  for (std::string row; std::getline(status, row);)
    if (row.compare(0, name.size(), name) == 0)
      return std::stoi(row.substr(name.size())) != 0;
  return false;
}

} // namespace

extern "C" {

int warploomSyncThreads(bool vote, int line) { return block.meet(vote, line); }

void warploomFence(bool acrossBlocks) {
  if (acrossBlocks)
    block.isFenced = true;
}

u64 warploomShuffle(int kind, u32 mask, u64 bits, int by, int width, int line) {
  Words words = {{static_cast<u32>(bits), static_cast<u32>(bits >> 32),
                  static_cast<u32>(sourceOf(kind, block.lane(), by, width))}};
  const Words &result = block.meet(shuffles[kind], mask, words, line);
  return result.at[0] | static_cast<u64>(result.at[1]) << 32;
}

u32 warploomVote(int kind, u32 mask, u64 value, int line) {
  return block
      .meet(votes[kind], mask, Words{{static_cast<u32>(value), static_cast<u32>(value >> 32)}},
            line)
      .at[0];
}

u32 warploomReduce(int kind, u32 mask, u32 value, int line) {
  return block.meet(reductions[kind], mask, Words{{value}}, line).at[0];
}

void warploomSyncWarp(u32 mask, int line) { block.meet(syncWarp, mask, Words{}, line); }

/// Any set of lanes that holds the one that asks is right; the smallest one is the least kind.
u32 warploomActive() { return 1u << block.lane(); }

u32 warploomAtomic4(int kind, void *at, u32 value, u32 expected, int line) {
  return atomic<u32, i32>(kind, at, value, expected, line);
}

u64 warploomAtomic8(int kind, void *at, u64 value, u64 expected, int line) {
  return atomic<u64, i64>(kind, at, value, expected, line);
}

void *warploomDynamicShared() { return shared.dynamicPart(); }

u32 warploomSharedAddress(const void *pointer, int line) {
  return shared.address(pointer, siteOfLine(line));
}

int warploomPrint(const char *format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  const int length = std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  return length;
}

/// Waits for a debugger, and stops in it.
void warploomBreak(int line) {
  if (!isTraced())
    std::fprintf(stderr,
                 "emulator: block (%u, %u, %u), warp %d, lane %d stops at line %d: gdb -p %d\n",
                 work.blockX, work.blockY, work.blockZ, block.current / warpSize, block.lane(),
                 line, static_cast<int>(getpid()));
#ifdef __linux__
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
#endif
  while (!isTraced())
    usleep(100'000);
  std::raise(SIGTRAP);
}

[[noreturn]] void warploomFail(const char *what, int line) {
  fault("assert", siteOfLine(line), "%s", what);
}
}
