// The registers that asynchronous products use, as the kernel's locals that stand for them: words
// on the stacks of its threads. The hooks of loads and stores tell when ordinary code touches one.
#pragma once

#include "types.h"

#include <vector>

namespace warploom {

class Registers {
public:
  /// Follows the stacks of a block of so many threads, which lie in [from, to).
  void follow(const void *from, const void *to, int threads);

  /// Ordinary code of the running thread loads or stores.
  void access(const void *at, u32 size, bool isWrite, const void *caller);

  /// wgmma.fence by the running thread: what it did to registers before is over.
  void fence() { ++epochs[current()]; }

  /// A product begins that writes a register, or reads one, until it is released.
  void beginResult(const void *at, Site site) { begin(at, true, site); }
  void beginOperand(const void *at, Site site) { begin(at, false, site); }
  void endResult(const void *at) { --wordAt(at).results; }
  void endOperand(const void *at) { --wordAt(at).operands; }

  /// Whether a product is yet to write it.
  bool isPending(const void *at) { return wordAt(at).results > 0; }

private:
  struct Word {
    u32 touched;           // the epoch of the last access by ordinary code
    u16 results, operands; // products under way
    Site site;             // of the newest of them
  };

  static int current();
  void begin(const void *at, bool isResult, Site site);
  Word &wordAt(const void *at) { return words[(static_cast<const u8 *>(at) - from) / sizeof(u32)]; }

  const u8 *from = nullptr;
  std::size_t count = 0;
  Word *words = nullptr;
  std::vector<u32> epochs; // of each thread: fences so far, and 1
};

extern Registers registers;

} // namespace warploom
