// The engine's side of asynchronous copies.
#include "../engine/block.h"
#include "../engine/fault.h"
#include "../engine/memory.h"
#include "../engine/shared.h"

#include <cstring>

using namespace warploom;

extern "C" {

void warploomCopyAsync(u32 to, const void *from, bool valid, int line) {
  const Site site = siteOfLine(line);
  if (to % 16 != 0)
    fault("misaligned", site, "copies 16 bytes to the shared address %u", to);
  // Hardware wants an aligned source even where it reads nothing.
  if (reinterpret_cast<u64>(from) % 16 != 0)
    fault("misaligned", site, "copies 16 bytes from %p", from);
  shared.host(to, 16, "copies", site);
  if (valid)
    memory.read(from, 16, site);
  shared.expect(to, 16, site);
  Copy copy = {
      to, valid ? static_cast<const u8 *>(from) : nullptr, {}, site, block.groups[block.current]};
  if (valid)
    std::memcpy(copy.data, from, 16);
  block.copies[block.current].push_back(copy);
}

void warploomCopyCommit() { ++block.groups[block.current]; }

void warploomCopyWait(int pending, int line) {
  const Site site = siteOfLine(line);
  auto &copies = block.copies[block.current];
  const u32 closed = block.groups[block.current];
  std::size_t done = 0;
  // Groups are numbered from 0; those below `closed - pending` have to be complete.
  for (; done < copies.size() && copies[done].group + pending < closed; ++done) {
    const Copy &copy = copies[done];
    u8 *to = shared.host(copy.to, 16, "copies", site);
    // It may read at any time until now.
    if (copy.from && std::memcmp(copy.data, copy.from, 16) != 0)
      fault("race", site, "waits for the copy of {%x}, whose source was overwritten on its way",
            copy.site);
    std::memcpy(to, copy.data, 16);
    shared.arrive(copy.to, 16, copy.site);
  }
  copies.erase(copies.begin(), copies.begin() + done);
}
}
