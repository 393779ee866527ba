// The mbarriers of the block that runs: what the primitives of barriers and of copies share.
// Engine's side only.
#pragma once

#include "../engine/clocks.h"
#include "../engine/types.h"

#include <vector>

namespace warploom {

/// One mbarrier (PTX ISA, "mbarrier"). Phases count from 0; the one before the first has ended.
struct Mbarrier {
  u32 address;
  int number;   // among the mbarriers of the block
  i64 expected; // arrivals that end a phase
  i64 missing;  // of the phase that goes on
  i64 bytes; // that copies are yet to bring; fewer than 0 when they came before they were expected
  u32 phase;
  int maker; // who initialised it, when, and whether a fence told the asynchronous proxy
  u32 made;
  bool isTold;
  Site site; // of the initialisation
  Knowledge arriving, ended;
  std::vector<int> waiting; // threads, for the end of the phase that goes on
  std::vector<int> woken;   // those of the phase before, which have yet to see that it ended
};

class Mbarriers {
public:
  /// The one at an address that the running thread knows of; faults where there is none.
  Mbarrier &at(u32 address, const char *verb, Site site);

  /// Copies have brought so many bytes.
  void complete(Mbarrier &barrier, u32 bytes, Site site);

  /// What a fence tells the asynchronous proxy of.
  void tell(int thread);

  std::vector<Mbarrier> all;

  /// The most bytes that one phase can wait for.
  static constexpr i64 mostBytes = (1 << 20) - 1;

  void endPhase(Mbarrier &barrier, Site site);
};

extern Mbarriers mbarriers;

} // namespace warploom
