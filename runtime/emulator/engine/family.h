// A family of primitives that remembers something from call to call: what it does when a block
// begins, when a thread of it ends, and when all have ended.
#pragma once

#include <vector>

namespace warploom {

struct Family {
  void (*begin)();
  void (*endThread)();
  void (*end)();

  /// Each family adds itself, from the file that it lies in.
  Family(void (*begin)(), void (*endThread)(), void (*end)())
      : begin(begin), endThread(endThread), end(end) {
    all().push_back(this);
  }

  static std::vector<Family *> &all() {
    static std::vector<Family *> families;
    return families;
  }
};

} // namespace warploom
