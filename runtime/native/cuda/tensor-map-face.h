// How JavaScript describes the tensor of a tensor map.
#pragma once

#include "tensor-map.h"

#include <napi.h>

namespace warploom {

/// Reads { type, address, sizes, strides, box, ... }, with the driver's numbers for the kinds.
/// Throws a TypeError to JavaScript and gives false where it is not that.
bool readTensorMap(Napi::Env env, const Napi::Value &given, cuda::TensorMapShape &out);

} // namespace warploom
