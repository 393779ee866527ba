// Bits: Philox4x32-10 (Salmon et al., 2011). Values: the inverse of the normal distribution function by AS241
// (Wichura, 1988), in the very operations of runtime/random.ts: + - * / and square roots alone, which IEEE 754 rounds
// exactly. Built without contraction (CMakeLists.txt).
#include "normal.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

namespace warploom {
namespace {

void philox(uint64_t counter, uint64_t key, uint32_t (&words)[4]) {
  uint32_t a = static_cast<uint32_t>(counter), b = static_cast<uint32_t>(counter >> 32), c = 0, d = 0;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = uint64_t{0xd2511f53} * a, right = uint64_t{0xcd9e8d57} * c;
    a = static_cast<uint32_t>(right >> 32) ^ b ^ k0;
    b = static_cast<uint32_t>(right);
    c = static_cast<uint32_t>(left >> 32) ^ d ^ k1;
    d = static_cast<uint32_t>(left);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = d;
}

// The coefficients of AS241 (PPND16), highest power first.
constexpr double middleTop[] = {2509.0809287301227, 33430.57558358813,  67265.7709270087,
                                45921.95393154987,  13731.69376550946,  1971.5909503065513,
                                133.14166789178438, 3.3871328727963665};
constexpr double middleBottom[] = {5226.495278852854,  28729.085735721943, 39307.89580009271,
                                   21213.794301586597, 5394.196021424751,  687.1870074920579,
                                   42.31333070160091,  1};
constexpr double tailTop[] = {0.0007745450142783414, 0.022723844989269184, 0.2417807251774506,
                              1.2704582524523684,    3.6478483247632045,   5.769497221460691,
                              4.630337846156546,     1.4234371107496835};
constexpr double tailBottom[] = {1.0507500716444169e-9, 0.0005475938084995345, 0.015198666563616457,
                                 0.14810397642748008,   0.6897673349851,       1.6763848301838038,
                                 2.053191626637759,     1};

template <int size> double polynomial(const double (&coefficients)[size], double x) {
  double sum = 0;
  for (const double coefficient : coefficients)
    sum = sum * x + coefficient;
  return sum;
}

constexpr double ln2 = 0.6931471805599453, sqrt2 = 1.4142135623730951;

/// ln of an odd number below 2^30: n = m 2^e, ln m = 2 atanh((m - 1) / (m + 1)).
double logarithm(uint32_t n) {
  int exponent = 0;
  while (n >> exponent > 1)
    ++exponent;
  double m = n / static_cast<double>(uint32_t{1} << exponent);
  if (m > sqrt2) {
    m /= 2;
    exponent += 1;
  }
  const double t = (m - 1) / (m + 1), square = t * t;
  double sum = 0;
  for (int power = 21; power >= 1; power -= 2)
    sum = sum * square + 1.0 / power;
  return exponent * ln2 + 2 * t * sum;
}

double normal(uint32_t word) {
  const double q = (word + 0.5 - 2147483648.0) * (1 / 4294967296.0);
  if (q <= 0.425 && q >= -0.425) {
    const double r = 0.180625 - q * q;
    return (q * polynomial(middleTop, r)) / polynomial(middleBottom, r);
  }
  // The distance to the nearer end, in units of 2^-33: 1, 3, 5, ...
  const uint32_t odd = 2 * (q < 0 ? word : 0xffffffff - word) + 1;
  const double r = std::sqrt(33 * ln2 - logarithm(odd)) - 1.6;
  const double size = polynomial(tailTop, r) / polynomial(tailBottom, r);
  return q < 0 ? -size : size;
}

// Roundings as those of runtime/half.ts.

uint32_t bitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// To odd: what is rounded again to fewer digits is as if it were rounded once (Boldo and Melquiond, 2008).
uint32_t oddBits(double x) {
  const float near = static_cast<float>(x);
  uint32_t bits = bitsOf(near);
  if (near == x)
    return bits;
  if (std::fabs(static_cast<double>(near)) > std::fabs(x))
    bits -= 1;
  return bits | 1;
}

uint16_t bf16(uint32_t bits) { return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16); }

uint16_t fp16(uint32_t bits) {
  const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size >= 0x47800000)
    return static_cast<uint16_t>(sign | 0x7c00);
  if (size >= 0x38800000)
    return static_cast<uint16_t>(sign | (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
  if (size <= 0x33000000)
    return static_cast<uint16_t>(sign);
  const uint32_t shift = 126 - (size >> 23), mantissa = (size & 0x7fffff) | 0x800000;
  const uint32_t whole = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  return static_cast<uint16_t>(sign | (whole + (rest > half || (rest == half && (whole & 1) == 1))));
}

void store(void *elements, Element type, size_t at, double value) {
  if (type == Element::fp32)
    static_cast<float *>(elements)[at] = static_cast<float>(value);
  else
    static_cast<uint16_t *>(elements)[at] =
        type == Element::fp16 ? fp16(oddBits(value)) : bf16(oddBits(value));
}

/// Elements `[begin, end)`.
void fillPart(void *elements, Element type, size_t begin, size_t end, uint64_t seed, uint64_t from,
              double scale) {
  uint32_t words[4];
  for (size_t i = begin; i < end;) {
    const uint64_t index = from + i;
    philox(index / 4, seed, words);
    for (uint64_t word = index % 4; word < 4 && i < end; ++word, ++i)
      store(elements, type, i, normal(words[word]) * scale);
  }
}

/// Fewer are not worth a thread.
constexpr size_t leastOfThread = 1 << 16;

} // namespace

void fillNormal(void *elements, Element type, size_t count, uint64_t seed, uint64_t from,
                double scale) {
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const size_t parts = std::min(cores, std::max<size_t>(1, count / leastOfThread));
  const auto edge = [&](size_t part) { return count / parts * part + std::min(part, count % parts); };
  std::vector<std::thread> others;
  for (size_t part = 1; part < parts; ++part)
    others.emplace_back(fillPart, elements, type, edge(part), edge(part + 1), seed, from, scale);
  fillPart(elements, type, 0, edge(1), seed, from, scale);
  for (std::thread &other : others)
    other.join();
}

} // namespace warploom
