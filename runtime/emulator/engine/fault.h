// What a kernel does wrong, told to the driver. A fault ends the process: there is nothing to
// return to.
#pragma once

#include "types.h"

namespace warploom {

/// Reports one fault of the thread that runs and ends the process. `kind` is one of the names in
/// runtime/emulator/fault.ts. In the text, `{%x}` around a Site stands for its line.
[[noreturn]] void fault(const char *kind, Site site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/// Tells what the process works on, for the reports. `first` is shared by all processes of a
/// launch: only one of them may report.
struct Work {
  int step = 0;
  const char *kernel = "";
  u32 blockX = 0, blockY = 0, blockZ = 0;
  u32 *reported = nullptr;
  Site last = 0; // the last access or meeting: where a crash or an endless loop is not far
};
extern Work work;

/// Where reports go.
constexpr int reportFile = 3;
/// The exit status of a process that has reported a fault.
constexpr int faultStatus = 3;

} // namespace warploom
