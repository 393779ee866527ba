// Addresses of shared memory, as codegen/device/shared.cuh declares them.
#pragma once

WARPLOOM_DEVICE u32 shared_address(const void *pointer, WARPLOOM_LINE) {
  return warploomSharedAddress(pointer, line.at);
}
