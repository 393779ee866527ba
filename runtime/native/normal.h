// Normal random values as elements of a tensor, bit for bit those of runtime/random.ts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace warploom {

enum class Element { fp32, fp16, bf16 };

/// Values `from` to `from + count` of the sequence of a seed, times `scale`, each rounded once, on all cores.
void fillNormal(void *elements, Element type, size_t count, uint64_t seed, uint64_t from,
                double scale);

} // namespace warploom
