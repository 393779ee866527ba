// The instructions of each warpgroup, by the first of its warps that comes to them.
#include "instructions.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"

#include <vector>

namespace warploom {
namespace {

struct Instruction {
  const char *name;
  u64 a, b;
  Site site;
};
std::vector<std::vector<Instruction>> instructions; // of each warpgroup
std::vector<std::size_t> done;                      // of each warp

void begin() {
  instructions.assign((block.warps() + groupWarps - 1) / groupWarps, {});
  done.assign(block.warps(), 0);
}

void endBlock() {
  for (int warp = 0; warp < block.warps(); ++warp) {
    const std::vector<Instruction> &of = instructions[warp / groupWarps];
    const RunsAs thread(warp * warpSize);
    if (done[warp] < of.size())
      fault("divergence", of[done[warp]].site,
            "ends without %s, which another warp of its warpgroup executed", of[done[warp]].name);
  }
}

const Family family(begin, [] {}, endBlock);

} // namespace

void executeAlike(const char *name, u64 a, u64 b, Site site) {
  const int warp = block.current / warpSize;
  std::vector<Instruction> &of = instructions[warp / groupWarps];
  if (done[warp] == of.size())
    of.push_back({name, a, b, site});
  const Instruction &first = of[done[warp]++];
  if (first.site != site || first.a != a || first.b != b)
    fault("divergence", site,
          "executes %s where another warp of its warpgroup executed %s at {%x}, or with other "
          "operands",
          name, first.name, first.site);
}

} // namespace warploom
