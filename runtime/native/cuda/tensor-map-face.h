// The N-API face of tensor maps.
#pragma once

#include <napi.h>

namespace warploom {

/// encodeTensorMap({ type, address, sizes, strides, box, ... }), with the driver's numbers for the kinds.
Napi::Value encodeTensorMap(const Napi::CallbackInfo &info);

} // namespace warploom
