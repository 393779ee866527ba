// The engine's side of matrix products: the layouts of fragments, from the PTX ISA, "Matrix
// Fragments for mma.m16n8k16" and "ldmatrix". With g = lane / 4 and t = lane % 4:
//   a0: row g, columns 2t, 2t + 1;  a1: row g + 8;  a2: columns + 8;  a3: both
//   b0: rows 2t, 2t + 1 of column g;  b1: rows + 8
//   d0, d1: row g, columns 2t, 2t + 1;  d2, d3: row g + 8
#include "../engine/block.h"
#include "../engine/fault.h"
#include "../engine/numbers.h"
#include "../engine/shared.h"

#include <cstring>

using namespace warploom;

namespace {

constexpr u32 wholeWarp = 0xffffffffu;

/// Lane l gives the address of row l % 8 of matrix l / 8, and gets elements of row l / 4 (or,
/// transposed, of column l / 4) of each: every lane reads what it gets.
template <bool transposed> void loadMatrices(Words *lanes, u32, Site site) {
  u16 elements[4][8][8];
  u32 addresses[warpSize];
  const int first = block.current / warpSize * warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    const u32 address = addresses[lane] = lanes[lane].at[0];
    const RunsAs thread(first + lane);
    if (address % 16 != 0)
      fault("misaligned", site, "loads a row of a matrix from the shared address %u", address);
    std::memcpy(elements[lane / 8][lane % 8], shared.host(address, 16, "reads", site), 16);
  }
  for (int lane = 0; lane < warpSize; ++lane) {
    const RunsAs thread(first + lane);
    const int g = lane / 4, t = lane % 4;
    for (int matrix = 0; matrix < 4; ++matrix) {
      const auto &of = elements[matrix];
      const u32 *rows = addresses + 8 * matrix;
      if (transposed) {
        lanes[lane].at[matrix] = of[2 * t][g] | u32(of[2 * t + 1][g]) << 16;
        shared.read(rows[2 * t] + 2 * g, 2, site);
        shared.read(rows[2 * t + 1] + 2 * g, 2, site);
      } else {
        lanes[lane].at[matrix] = of[g][2 * t] | u32(of[g][2 * t + 1]) << 16;
        shared.read(rows[g] + 4 * t, 4, site);
      }
    }
  }
}

/// Sums in double, rounded once: hardware has its own order and fewer guard bits.
template <float (*floatOf)(u16)> void multiply(Words *lanes, u32, Site) {
  float a[16][16], b[16][8];
  const auto two = [](u32 bits, float &low, float &high) {
    low = floatOf(static_cast<u16>(bits));
    high = floatOf(static_cast<u16>(bits >> 16));
  };
  for (int lane = 0; lane < warpSize; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const u32 *words = lanes[lane].at;
    for (int part = 0; part < 4; ++part) {
      float *row = &a[g + part % 2 * 8][2 * t + part / 2 * 8];
      two(words[4 + part], row[0], row[1]);
    }
    for (int part = 0; part < 2; ++part)
      two(words[8 + part], b[2 * t + part * 8][g], b[2 * t + 1 + part * 8][g]);
  }
  double d[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column)
        d[row][column] += static_cast<double>(a[row][k]) * b[k][column];
  for (int lane = 0; lane < warpSize; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      float sum;
      std::memcpy(&sum, &lanes[lane].at[i], 4);
      sum = static_cast<float>(sum + d[g + i / 2 * 8][2 * t + i % 2]);
      std::memcpy(&lanes[lane].at[i], &sum, 4);
    }
  }
}

const Collective plain = {"ldmatrix", loadMatrices<false>};
const Collective transposed = {"ldmatrix.trans", loadMatrices<true>};
const Collective productBf16 = {"mma.sync (bf16)", multiply<floatOfBf16>};
const Collective productFp16 = {"mma.sync (fp16)", multiply<floatOfFp16>};

struct Four {
  u32 at[4];
};
struct Sums {
  float at[4];
};

Sums product(const Collective &collective, const float (&d)[4], const u32 (&rest)[6], int line) {
  Words words;
  std::memcpy(words.at, d, sizeof d);
  std::memcpy(words.at + 4, rest, sizeof rest);
  Sums sums;
  std::memcpy(sums.at, block.meet(collective, wholeWarp, words, line).at, sizeof sums.at);
  return sums;
}

} // namespace

extern "C" {

Four warploomLoadMatrices(u32 address, bool isTransposed, int line) {
  const Words &words =
      block.meet(isTransposed ? transposed : plain, wholeWarp, Words{{address}}, line);
  return {{words.at[0], words.at[1], words.at[2], words.at[3]}};
}

Sums warploomMultiplyBf16(float d0, float d1, float d2, float d3, u32 a0, u32 a1, u32 a2, u32 a3,
                          u32 b0, u32 b1, int line) {
  return product(productBf16, {d0, d1, d2, d3}, {a0, a1, a2, a3, b0, b1}, line);
}

Sums warploomMultiplyFp16(float d0, float d1, float d2, float d3, u32 a0, u32 a1, u32 a2, u32 a3,
                          u32 b0, u32 b1, int line) {
  return product(productFp16, {d0, d1, d2, d3}, {a0, a1, a2, a3, b0, b1}, line);
}
}
