// Writes a fault to the driver: lines of "name value", the text last.
#include "fault.h"

#include "block.h"

#include <cstdarg>
#include <cstdio>
#include <unistd.h>

namespace warploom {

Work work;

void fault(const char *kind, Site site, const char *format, ...) {
  // The other processes of the launch wait to be ended: theirs is the same fault, or one that
  // follows.
  if (work.reported && __atomic_exchange_n(work.reported, 1u, __ATOMIC_SEQ_CST))
    _exit(faultStatus);
  char text[3500];
  int length = std::snprintf(text, sizeof text,
                             "kind %s\nstep %d\nblock %u %u %u\nthread %d\nsite %x\nwhat ", kind,
                             work.step, work.blockX, work.blockY, work.blockZ, block.current, site);
  std::va_list arguments;
  va_start(arguments, format);
  length += std::vsnprintf(text + length, sizeof text - length - 1, format, arguments);
  va_end(arguments);
  if (length > static_cast<int>(sizeof text) - 1)
    length = sizeof text - 1;
  const ssize_t done = write(reportFile, text, length);
  _exit(done == length ? faultStatus : 1);
}

} // namespace warploom
