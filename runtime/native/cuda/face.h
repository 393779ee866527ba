// The N-API face of the CUDA core.
#pragma once

#include <napi.h>

namespace warploom {

/// exports.cudaDevices and exports.openCudaDevice, as runtime/cuda/native.ts declares them.
void initializeCuda(Napi::Env env, Napi::Object exports);

} // namespace warploom
