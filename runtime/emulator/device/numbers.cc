// The engine's side of conversions.
#include "../engine/numbers.h"

#include <cmath>

using namespace warploom;

extern "C" {

float warploomExp2(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y; // no subnormals; a NaN stays
}

u16 warploomBf16(float x) { return bf16Of(x); }
u16 warploomFp16(float x) { return fp16Of(x); }
float warploomFloatOfFp16(u16 bits) { return floatOfFp16(bits); }
}
