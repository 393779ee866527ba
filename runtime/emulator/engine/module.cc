// Loading compiled kernels.
#include "module.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>

namespace warploom {

Module module;

namespace {

struct Range {
  const u8 *inside;
  u8 *from = nullptr, *to = nullptr;
};

/// The range of the object that holds `inside`.
int find(dl_phdr_info *info, std::size_t, void *data) {
  Range &range = *static_cast<Range *>(data);
  u8 *from = reinterpret_cast<u8 *>(info->dlpi_addr), *to = from;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto &part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD)
      continue;
    u8 *end = reinterpret_cast<u8 *>(info->dlpi_addr + part.p_vaddr + part.p_memsz);
    if (end > to)
      to = end;
  }
  if (range.inside < from || range.inside >= to)
    return 0;
  range.from = from;
  range.to = to;
  return 1;
}

} // namespace

void Module::load(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(1);
  }
  entry = reinterpret_cast<void (*)(const void *)>(dlsym(handle, "warploomEntry"));
  struct Layout {
    u8 *sharedFrom, *sharedTo;
    u64 dynamicAlignment, blocks;
  };
  const auto *layout = static_cast<const Layout *>(dlsym(handle, "warploomLayout"));
  if (!entry || !layout) {
    std::fprintf(stderr, "%s is no emulated kernel\n", path);
    std::exit(1);
  }
  sharedFrom = layout->sharedFrom;
  sharedBytes = layout->sharedTo - layout->sharedFrom;
  dynamicAlignment = layout->dynamicAlignment;
  blocks = layout->blocks;
  Range range{reinterpret_cast<const u8 *>(entry)};
  dl_iterate_phdr(find, &range);
  from = range.from;
  to = range.to;
}

} // namespace warploom
