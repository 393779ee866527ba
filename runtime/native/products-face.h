// The N-API face of the tile products.
#pragma once

#include <napi.h>

namespace warploom {

/// exports.products: what this machine can run, the fastest first.
void initializeProducts(Napi::Env env, Napi::Object exports);

} // namespace warploom
