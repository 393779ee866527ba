// The engine's side of what else warpgroups do: the share of registers, stmatrix, loads of 16
// bytes.
#include "instructions.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"
#include "../engine/module.h"
#include "../engine/shared.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

namespace warploom {
namespace {

constexpr u32 wholeWarp = 0xffffffffu;

// ---- registers ----

struct Warp {
  int registers = 0, wanted = 0; // of each thread
  std::vector<int> sleeping;     // threads, until they are the same
};
std::vector<Warp> warps;

/// Registers of the block that no warp has. A kernel that says how many threads its only block has
/// is launched with as many as fit, in eights a thread.
int freeRegisters = 0;

void explainRegisters(int, char *to, std::size_t bytes) {
  std::snprintf(to, bytes, "setmaxnreg, for registers that others hold: %d are free",
                freeRegisters);
}

/// Gives warps that wait what is there for them.
void grant() {
  for (Warp &warp : warps) {
    const int wanted = (warp.wanted - warp.registers) * warpSize;
    if (wanted == 0 || wanted > freeRegisters)
      continue;
    freeRegisters -= wanted;
    warp.registers = warp.wanted;
    for (const int thread : warp.sleeping)
      block.wake(thread);
    warp.sleeping.clear();
  }
}

/// Words: the new count, whether it is more.
void setRegisters(Words *lanes, u32, Site site) {
  const int count = static_cast<int>(lanes[0].at[0]);
  const bool takes = lanes[0].at[1];
  executeAlike("setmaxnreg", count, takes, site);
  Warp &warp = warps[block.current / warpSize];
  if (count < 24 || count > 256 || count % 8 != 0)
    fault("registers", site, "sets %d registers a thread; 24 to 256 can be, in eights", count);
  if (takes ? count < warp.registers : count > warp.registers)
    fault("registers", site, "%s registers to %d a thread, of which it has %d",
          takes ? "raises its" : "lowers its", count, warp.registers);
  warp.wanted = count;
  if (count < warp.registers) {
    freeRegisters += (warp.registers - count) * warpSize;
    warp.registers = count;
  }
  grant();
}

// ---- stmatrix ----

/// Lane l gives the address of row l % 8 of matrix l / 8, and has elements 2t, 2t + 1 of row g of
/// each.
void storeMatrices(Words *lanes, u32, Site site) {
  const int first = block.current / warpSize * warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    if (lanes[lane].at[0] % 16 != 0)
      fault("misaligned", site, "stores a row of a matrix to the shared address %u",
            lanes[lane].at[0]);
  }
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    for (int matrix = 0; matrix < 4; ++matrix) {
      const u32 at = lanes[8 * matrix + lane / 4].at[0] + 4 * (lane % 4);
      u8 *to = shared.host(at, 4, "writes", site);
      shared.write(at, 4, site);
      std::memcpy(to, &lanes[lane].at[1 + matrix], 4);
    }
  }
}

const Collective sets = {"setmaxnreg", setRegisters}, stores = {"stmatrix", storeMatrices};

void begin() {
  const int launched = std::min(65536 / static_cast<int>(block.warps() * warpSize * module.blocks) / 8 * 8, 256);
  freeRegisters = 0;
  warps.assign(block.warps(), Warp());
  for (Warp &warp : warps)
    warp.registers = warp.wanted = launched;
}

const Family family(begin, [] {}, [] {});

} // namespace
} // namespace warploom

using namespace warploom;

extern "C" {

void warploomSetRegisters(int count, bool takes, int line) {
  block.meet(sets, wholeWarp, Words{{static_cast<u32>(count), takes}}, line);
  Warp &warp = warps[block.current / warpSize];
  while (warp.registers != warp.wanted) {
    warp.sleeping.push_back(block.current);
    block.sleep(line, explainRegisters);
  }
}

void warploomStoreMatrices(u32 address, u32 a, u32 b, u32 c, u32 d, int line) {
  block.meet(stores, wholeWarp, Words{{address, a, b, c, d}}, line);
}

const void *warploomSharedLoad(u32 address, int line) {
  const Site site = siteOfLine(line);
  if (address % 16 != 0)
    fault("misaligned", site, "reads 16 bytes at the shared address %u", address);
  const void *from = shared.host(address, 16, "reads", site);
  shared.read(address, 16, site);
  return from;
}
}
