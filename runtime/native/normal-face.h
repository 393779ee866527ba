// The N-API face of random values.
#pragma once

#include <napi.h>

namespace warploom {

/// exports.fillNormal(elements, dtype, at, count, seed, from, scale)
void initializeNormal(Napi::Env env, Napi::Object exports);

} // namespace warploom
