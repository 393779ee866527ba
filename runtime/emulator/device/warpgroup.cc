// The engine's side of what warpgroups do: asynchronous products, the share of registers, stmatrix.
// With g = lane / 4 and t = lane % 4, of the 16 rows of a warp (PTX ISA, "wgmma.mma_async"):
//   d: element 4j + e is row g + 8 (e / 2), column 8j + 2t + e % 2
//   a in registers: a0 row g, columns 2t, 2t + 1;  a1 row g + 8;  a2 columns + 8;  a3 both
#include "tensor-map.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"
#include "../engine/numbers.h"
#include "../engine/registers.h"
#include "../engine/shared.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

/// As device/warpgroup.h has it.
struct WarploomProduct {
  int columns;
  bool isFp16, isTransposedA, isTransposedB;
  float *const *results;
  const warploom::u32 *const *registers;
  warploom::u64 a, b;
  bool adds;
};

namespace warploom {
namespace {

constexpr u32 wholeWarp = 0xffffffffu;
constexpr int groupWarps = 4, rowsOfWarp = 16, steps = 16; // of elements along the sum
constexpr int elementBytes = 2;

// ---- matrices in shared memory ----

/// What a descriptor says (PTX ISA, "Matrix Descriptor Format"). Bytes.
struct Matrix {
  u32 start, leading, stride;
  u32 rowBytes; // of swizzled rows; 16 where nothing is swizzled
  u32 swizzle;  // 0 for none

  Matrix(u64 descriptor, Site site) {
    start = (descriptor & 0x3fff) << 4;
    leading = (descriptor >> 16 & 0x3fff) << 4;
    stride = (descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 49 & 7)
      fault("descriptor", site,
            "has a matrix descriptor with a base offset, which is not emulated");
    const u32 layout = descriptor >> 62;
    swizzle = layout == 0 ? 0 : 256u >> layout;
    rowBytes = swizzle ? swizzle : 16;
  }

  /// Two bytes of row `index` (of A, or column of B) at `k` along the sum.
  u32 along(u32 index, u32 k) const {
    const u32 chunks = swizzle ? k * elementBytes : k / 8 * leading + k % 8 * elementBytes;
    return swizzled(start + index / 8 * stride + index % 8 * rowBytes + chunks, swizzle);
  }

  /// The same where neighbours in memory are neighbours across the sum.
  u32 across(u32 index, u32 k) const {
    const u32 perRow = rowBytes / elementBytes;
    return swizzled(start + index / perRow * leading + k / 8 * stride + k % 8 * rowBytes +
                        index % perRow * elementBytes,
                    swizzle);
  }

  u32 at(u32 index, u32 k, bool isTransposed) const {
    return isTransposed ? across(index, k) : along(index, k);
  }
};

// ---- products under way ----

/// One product of one warp.
struct Product {
  int columns;
  bool isFp16, adds, isA; // A from shared memory
  Site site;
  std::vector<u32> placesA, placesB; // of each element: [row or column][k]
  std::vector<u32> chunks;           // all of both, 16 bytes each
  std::vector<float *> results[warpSize];
  const u32 *registers[warpSize][4];
  u32 values[warpSize][4];
};

struct Group {
  std::vector<Product> products;
};

struct Warp {
  std::vector<Product> open;
  std::vector<Group> closed;     // oldest first
  int registers = 0, wanted = 0; // of each thread
  std::vector<int> sleeping;     // threads, until they are the same
  std::size_t done = 0;          // instructions of its warpgroup so far
};
std::vector<Warp> warps;

/// What the four warps of a warpgroup have to execute alike, by the first that came there.
struct Instruction {
  const char *name;
  u64 a, b;
  Site site;
};
std::vector<std::vector<Instruction>> instructions;

int warpNow() { return block.current / warpSize; }

/// All four warps of a warpgroup execute it, with the same operands.
void alike(const char *name, u64 a, u64 b, Site site) {
  Warp &warp = warps[warpNow()];
  std::vector<Instruction> &of = instructions[warpNow() / groupWarps];
  if (warp.done == of.size())
    of.push_back({name, a, b, site});
  const Instruction &first = of[warp.done++];
  if (first.site != site || first.a != a || first.b != b)
    fault("divergence", site,
          "executes %s where another warp of its warpgroup executed %s at {%x}, or with other "
          "operands",
          name, first.name, first.site);
}

/// The 16-byte rows that the elements lie in, each once.
std::vector<u32> chunksOf(const Matrix &matrix, u32 first, u32 count, bool isTransposed) {
  std::vector<u32> chunks;
  const auto add = [&](u32 index, u32 k) {
    const u32 at = matrix.at(index, k, isTransposed) & ~15u;
    if (chunks.empty() || chunks.back() != at)
      chunks.push_back(at);
  };
  // As neighbours in memory are.
  if (isTransposed)
    for (u32 k = 0; k < steps; ++k)
      for (u32 i = first; i < first + count; ++i)
        add(i, k);
  else
    for (u32 i = first; i < first + count; ++i)
      for (u32 k = 0; k < steps; ++k)
        add(i, k);
  return chunks;
}

/// Notes that the warp reads a matrix, and where its elements lie: [row or column][k].
void beginRead(Product &product, std::vector<u32> &places, const Matrix &matrix, u32 first,
               u32 count, bool isTransposed) {
  SharedMemory::Seen seen;
  for (const u32 at : chunksOf(matrix, first, count, isTransposed)) {
    shared.host(at, 16, "multiplies", product.site);
    shared.beginReads(at, 16, warpNow() * warpSize, warpSize, product.site, seen);
    product.chunks.push_back(at);
  }
  places.resize(count * steps);
  for (u32 i = 0; i < count; ++i)
    for (u32 k = 0; k < steps; ++k)
      places[i * steps + k] = matrix.at(first + i, k, isTransposed);
}

float floatAt(u32 at, bool isFp16, Site site) {
  u16 bits;
  std::memcpy(&bits, shared.host(at, elementBytes, "multiplies", site), sizeof bits);
  return isFp16 ? floatOfFp16(bits) : floatOfBf16(bits);
}

void multiply(Words *lanes, u32, Site site) {
  const int first = warpNow() * warpSize;
  const auto of = [&](int lane) -> const WarploomProduct & {
    const WarploomProduct *one;
    std::memcpy(&one, lanes[lane].at, sizeof one);
    return *one;
  };
  const WarploomProduct &mine = of(0);
  if (mine.columns < 8 || mine.columns > 256 || mine.columns % 8 != 0)
    fault("descriptor", site, "multiplies %d columns; 8 to 256 can be, in eights", mine.columns);
  for (int lane = 1; lane < warpSize; ++lane)
    if (of(lane).a != mine.a || of(lane).b != mine.b || of(lane).adds != mine.adds)
      fault("divergence", site, "multiplies by different descriptors in one warp");
  alike("wgmma.mma_async", mine.a, mine.b, site);
  Warp &warp = warps[warpNow()];
  warp.open.emplace_back();
  Product &product = warp.open.back();
  product.columns = mine.columns;
  product.isFp16 = mine.isFp16;
  product.adds = mine.adds;
  product.isA = mine.registers == nullptr;
  product.site = site;
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    const WarploomProduct &one = of(lane);
    for (int i = 0; i < mine.columns / 2; ++i) {
      registers.beginResult(one.results[i], site);
      product.results[lane].push_back(one.results[i]);
    }
    for (int i = 0; i < 4 && !product.isA; ++i) {
      registers.beginOperand(one.registers[i], site);
      product.registers[lane][i] = one.registers[i];
      product.values[lane][i] = *one.registers[i];
    }
  }
  if (product.isA) {
    const u32 row = warpNow() % groupWarps * rowsOfWarp;
    beginRead(product, product.placesA, Matrix(mine.a, site), row, rowsOfWarp, mine.isTransposedA);
  }
  beginRead(product, product.placesB, Matrix(mine.b, site), 0, mine.columns, mine.isTransposedB);
}

/// What a product does, at the end: sums in double, rounded once; hardware has an order of its own.
void complete(Product &product) {
  float a[rowsOfWarp][steps];
  for (int lane = 0; lane < warpSize; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4 && !product.isA; ++i) {
      const u32 bits = product.values[lane][i];
      float *to = &a[g + i % 2 * 8][2 * t + i / 2 * 8];
      for (int half = 0; half < 2; ++half) {
        const u16 element = static_cast<u16>(bits >> 16 * half);
        to[half] = product.isFp16 ? floatOfFp16(element) : floatOfBf16(element);
      }
    }
  }
  if (product.isA)
    for (int i = 0; i < rowsOfWarp * steps; ++i)
      a[i / steps][i % steps] = floatAt(product.placesA[i], product.isFp16, product.site);
  for (int column = 0; column < product.columns; ++column) {
    double sums[rowsOfWarp] = {};
    for (int k = 0; k < steps; ++k) {
      const double b = floatAt(product.placesB[column * steps + k], product.isFp16, product.site);
      for (int row = 0; row < rowsOfWarp; ++row)
        sums[row] += a[row][k] * b;
    }
    for (int row = 0; row < rowsOfWarp; ++row) {
      const int lane = row % 8 * 4 + column % 8 / 2;
      float *to = product.results[lane][column / 8 * 4 + row / 8 * 2 + column % 2];
      *to = static_cast<float>((product.adds ? *to : 0.0) + sums[row]);
    }
  }
}

void begin(Words *, u32, Site site) {
  alike("wgmma.fence", 0, 0, site);
  const int first = warpNow() * warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    registers.fence();
  }
}

void commit(Words *, u32, Site site) {
  alike("wgmma.commit_group", 0, 0, site);
  Warp &warp = warps[warpNow()];
  warp.closed.push_back({std::move(warp.open)});
  warp.open.clear();
}

/// Words: how many groups may go on.
void waitFor(Words *lanes, u32, Site site) {
  const std::size_t pending = lanes[0].at[0];
  alike("wgmma.wait_group", pending, 0, site);
  const int index = warpNow(), agent = block.productsOf(index);
  Warp &warp = warps[index];
  if (warp.closed.size() <= pending)
    return;
  const std::size_t count = warp.closed.size() - pending;
  const u32 time = block.clocks.act(agent);
  for (std::size_t i = 0; i < count; ++i)
    for (Product &product : warp.closed[i].products) {
      complete(product);
      for (const u32 at : product.chunks) {
        shared.endReads(at, 16);
        shared.noteProducts(at, 16, index, time);
      }
      for (int lane = 0; lane < warpSize; ++lane) {
        for (float *result : product.results[lane])
          registers.endResult(result);
        for (int k = 0; k < 4 && !product.isA; ++k)
          registers.endOperand(product.registers[lane][k]);
      }
    }
  warp.closed.erase(warp.closed.begin(), warp.closed.begin() + count);
  for (int lane = 0; lane < warpSize; ++lane)
    block.clocks.learnOf(index * warpSize + lane, agent, time);
}

// ---- registers ----

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
  alike("setmaxnreg", count, takes, site);
  Warp &warp = warps[warpNow()];
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
  const int first = warpNow() * warpSize;
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

const Collective begins = {"wgmma.fence", begin}, commits = {"wgmma.commit_group", commit},
                 waits = {"wgmma.wait_group", waitFor}, multiplies = {"wgmma.mma_async", multiply},
                 sets = {"setmaxnreg", setRegisters}, stores = {"stmatrix", storeMatrices};

void beginBlock() {
  const int launched = std::min(65536 / (block.warps() * warpSize) / 8 * 8, 256);
  freeRegisters = 0;
  warps.assign(block.warps(), Warp());
  for (Warp &warp : warps)
    warp.registers = warp.wanted = launched;
  instructions.assign((block.warps() + groupWarps - 1) / groupWarps, {});
}

void endThread() {
  for (const Group &group : warps[warpNow()].closed)
    for (const Product &product : group.products)
      fault("pending-product", product.site,
            "ends its thread without having waited for this product");
  for (const Product &product : warps[warpNow()].open)
    fault("pending-product", product.site, "ends its thread without having committed this product");
}

/// Instructions of a warpgroup that not all of its warps came to.
void endBlock() {
  for (int warp = 0; warp < block.warps(); ++warp) {
    const std::vector<Instruction> &of = instructions[warp / groupWarps];
    const RunsAs thread(warp * warpSize);
    if (warps[warp].done < of.size())
      fault("divergence", of[warps[warp].done].site,
            "ends without %s, which another warp of its warpgroup executed",
            of[warps[warp].done].name);
  }
}

const Family family(beginBlock, endThread, endBlock);

} // namespace
} // namespace warploom

using namespace warploom;

extern "C" {

void warploomProductsBegin(int line) { block.meet(begins, wholeWarp, Words{}, line); }

void warploomProductsCommit(int line) { block.meet(commits, wholeWarp, Words{}, line); }

void warploomProductsWait(int pending, int line) {
  block.pause();
  block.meet(waits, wholeWarp, Words{{static_cast<u32>(pending)}}, line);
}

void warploomMultiply(const WarploomProduct *product, int line) {
  Words words{};
  std::memcpy(words.at, &product, sizeof product);
  block.meet(multiplies, wholeWarp, words, line);
}

void warploomSetRegisters(int count, bool takes, int line) {
  block.meet(sets, wholeWarp, Words{{static_cast<u32>(count), takes}}, line);
  Warp &warp = warps[warpNow()];
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
