// What ordinary code may do to registers of products: nothing between their start and the wait, and
// nothing that a fence does not separate from their start (PTX ISA, "wgmma.fence").
#include "registers.h"

#include "block.h"
#include "fault.h"
#include "module.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

namespace warploom {

Registers registers;

int Registers::current() { return block.current; }

void Registers::follow(const void *begin, const void *end, int threads) {
  // Epochs count on from block to block: what an earlier block left on a stack is old.
  if (epochs.size() < static_cast<std::size_t>(threads))
    epochs.resize(threads, 1);
  const std::size_t wanted =
      (static_cast<const u8 *>(end) - static_cast<const u8 *>(begin)) / sizeof(u32);
  if (begin == from && wanted <= count)
    return;
  if (words)
    munmap(words, count * sizeof(Word));
  void *place = mmap(nullptr, wanted * sizeof(Word), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    std::fprintf(stderr, "no memory to follow registers\n");
    std::exit(1);
  }
  from = static_cast<const u8 *>(begin);
  count = wanted;
  words = static_cast<Word *>(place);
}

void Registers::access(const void *at, u32 size, bool isWrite, const void *caller) {
  const u32 epoch = epochs[block.current];
  for (u32 offset = 0; offset < size; offset += sizeof(u32)) {
    Word &word = wordAt(static_cast<const u8 *>(at) + offset);
    if (word.results)
      fault("pending-product", module.siteOf(caller),
            "%s a register that the product at {%x} has yet to write", isWrite ? "writes" : "reads",
            word.site);
    if (word.operands && isWrite)
      fault("pending-product", module.siteOf(caller),
            "writes a register that the product at {%x} may still read", word.site);
    word.touched = epoch;
  }
}

void Registers::begin(const void *at, bool isResult, Site site) {
  Word &word = wordAt(at);
  if (isResult && word.operands)
    fault("pending-product", site, "overwrites a register that the product at {%x} may still read",
          word.site);
  if (!isResult && word.results)
    fault("pending-product", site, "reads a register that the product at {%x} has yet to write",
          word.site);
  if (word.touched >= epochs[block.current])
    fault("fence", site,
          "uses a register that ordinary code has touched, with no wgmma.fence between");
  ++(isResult ? word.results : word.operands);
  word.site = site;
}

} // namespace warploom
