// Functions of scores, as codegen/device/functions.cuh declares them, with all but the last bit right.
#pragma once

WARPLOOM_DEVICE float log2_fast(float x) { return log2f(x); }

WARPLOOM_DEVICE float root_fast(float x) { return sqrtf(x); }

WARPLOOM_DEVICE float quotient_fast(float a, float b) { return a / b; }
