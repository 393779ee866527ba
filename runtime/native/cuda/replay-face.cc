// Reads descriptions of launch lists from JavaScript.
#include "replay-face.h"

#include "tensor-map-face.h"

namespace warploom {
namespace {

/// Triples: byte of the list, number of the place, offset.
std::vector<cuda::Patch> patchesOf(Arguments &arguments, int at, const char *name) {
  const auto [values, count] = doublesOf(arguments, at, name);
  std::vector<cuda::Patch> out;
  for (size_t i = 0; i + 2 < count; i += 3) {
    for (size_t j = i; j < i + 3; ++j) {
      if (!(values[j] >= 0 && values[j] < 9007199254740992.0))
        arguments.fail<Napi::RangeError>(std::string("'") + name + "' holds no integers");
    }
    if (!arguments.ok)
      return {};
    out.push_back({static_cast<uint64_t>(values[i]), static_cast<uint64_t>(values[i + 1]),
                   static_cast<uint64_t>(values[i + 2])});
  }
  return out;
}

} // namespace

Doubles doublesOf(Arguments &arguments, int at, const char *name) {
  const auto [data, length, buffer] = arguments.bytes(at, name);
  if (arguments.ok && reinterpret_cast<uintptr_t>(data) % sizeof(double) != 0)
    arguments.fail<Napi::TypeError>(std::string("'") + name + "' is no Float64Array");
  return {static_cast<const double *>(data), length / sizeof(double)};
}

bool readReplayPlan(Arguments &arguments, cuda::ReplayPlan &out) {
  const auto list = arguments.bytes(0, "list");
  out.places = arguments.whole(1, "places");
  out.addresses = patchesOf(arguments, 2, "addresses");
  const std::vector<cuda::Patch> mapPatches = patchesOf(arguments, 3, "mapAddresses");
  out.graphRecords = arguments.whole(5, "graphRecords");
  out.graphRun = arguments.whole(6, "graphRun");
  if (!arguments.ok)
    return false;
  const Napi::Value maps(arguments.env, arguments[4]);
  if (!maps.IsArray() || maps.As<Napi::Array>().Length() != mapPatches.size()) {
    arguments.fail<Napi::TypeError>("'maps' is not a list of as many maps as have addresses");
    return false;
  }
  for (size_t i = 0; i < mapPatches.size(); ++i) {
    cuda::MapPatch map = {mapPatches[i], {}};
    if (!readTensorMap(arguments.env, maps.As<Napi::Array>().Get(static_cast<uint32_t>(i)),
                       map.shape))
      return false;
    map.shape.address = 0; // of no run yet
    out.maps.push_back(map);
  }
  const auto *bytes = static_cast<const unsigned char *>(list.data);
  out.list.assign(bytes, bytes + list.length);
  return true;
}

} // namespace warploom
