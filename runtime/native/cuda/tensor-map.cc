// Encodes tensor maps by the driver.
#include "tensor-map.h"

#include <cstring>

namespace warploom::cuda {

Failure encodeTensorMap(const Context &context, const TensorMapShape &shape,
                        unsigned char out[tensorMapBytes]) {
  if (!driver().cuTensorMapEncodeTiled)
    return Failure::ofArgument("tensor maps need a driver of CUDA 12.0 or later");
  if (shape.rank < 1 || shape.rank > TensorMapShape::mostAxes)
    return Failure::ofArgument("a tensor map has 1 to 5 axes, not " + std::to_string(shape.rank));
  const Context::Current current(context);
  alignas(64) unsigned char map[tensorMapBytes];
  const Code code = driver().cuTensorMapEncodeTiled(
      map, shape.type, shape.rank, reinterpret_cast<void *>(shape.address), shape.sizes,
      shape.strides, shape.box, shape.steps, shape.interleave, shape.swizzle, shape.promotion,
      shape.fill);
  if (Failure failure = context.check("cuTensorMapEncodeTiled", code))
    return failure;
  std::memcpy(out, map, sizeof map);
  return {};
}

} // namespace warploom::cuda
