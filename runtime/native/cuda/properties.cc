// Asks the driver what a device is.
#include "properties.h"

namespace warploom::cuda {

Failure readProperties(int ordinal, Properties &out) {
  const Driver &table = driver();
  int device = 0;
  if (const Code code = table.cuDeviceGet(&device, ordinal))
    return Failure::ofCall("cuDeviceGet", code);
  char name[256] = "";
  if (const Code code = table.cuDeviceGetName(name, sizeof name - 1, device))
    return Failure::ofCall("cuDeviceGetName", code);
  out.name = name;
  size_t bytes = 0;
  if (const Code code = table.cuDeviceTotalMem(&bytes, device))
    return Failure::ofCall("cuDeviceTotalMem", code);
  out.memoryBytes = bytes;

  int hasPools = 0;
  const struct {
    int attribute;
    int &value;
  } reads[] = {{75, out.major},           {76, out.minor},
               {16, out.multiprocessors}, {97, out.blockSharedBytes},
               {81, out.sharedBytes},     {38, out.cacheBytes},
               {13, out.clockKilohertz},  {115, hasPools}};
  for (const auto &[attribute, value] : reads) {
    if (const Code code = table.cuDeviceGetAttribute(&value, attribute, device))
      return Failure::ofCall("cuDeviceGetAttribute", code);
  }
  out.hasPools = hasPools != 0;
  return {};
}

} // namespace warploom::cuda
