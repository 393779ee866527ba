// The engine's side of asynchronous products. With g = lane / 4 and t = lane % 4, of the 16 rows of
// a warp (PTX ISA, "wgmma.mma_async"):
//   d: element 4j + e is row g + 8 (e / 2), column 8j + 2t + e % 2
//   a in registers: a0 row g, columns 2t, 2t + 1;  a1 row g + 8;  a2 columns + 8;  a3 both
#include "descriptor.h"
#include "instructions.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"
#include "../engine/numbers.h"
#include "../engine/registers.h"
#include "../engine/shared.h"

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
constexpr int rowsOfWarp = 16, steps = 16; // of elements along the sum

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
  std::vector<Group> closed; // oldest first
};
std::vector<Warp> warps;

int warpNow() { return block.current / warpSize; }

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
  std::memcpy(&bits, shared.host(at, Matrix::elementBytes, "multiplies", site), sizeof bits);
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
  executeAlike("wgmma.mma_async", mine.a, mine.b, site);
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
  executeAlike("wgmma.fence", 0, 0, site);
  const int first = warpNow() * warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    registers.fence();
  }
}

void commit(Words *, u32, Site site) {
  executeAlike("wgmma.commit_group", 0, 0, site);
  Warp &warp = warps[warpNow()];
  warp.closed.push_back({std::move(warp.open)});
  warp.open.clear();
}

/// Words: how many groups may go on.
void waitFor(Words *lanes, u32, Site site) {
  const std::size_t pending = lanes[0].at[0];
  executeAlike("wgmma.wait_group", pending, 0, site);
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

const Collective begins = {"wgmma.fence", begin}, commits = {"wgmma.commit_group", commit},
                 waits = {"wgmma.wait_group", waitFor}, multiplies = {"wgmma.mma_async", multiply};

void beginBlock() { warps.assign(block.warps(), Warp()); }

void endThread() {
  for (const Group &group : warps[warpNow()].closed)
    for (const Product &product : group.products)
      fault("pending-product", product.site,
            "ends its thread without having waited for this product");
  for (const Product &product : warps[warpNow()].open)
    fault("pending-product", product.site, "ends its thread without having committed this product");
}

const Family family(beginBlock, endThread, [] {});

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
}
