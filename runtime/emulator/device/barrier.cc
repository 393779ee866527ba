// The engine's side of barriers.
#include "mbarriers.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"
#include "../engine/shared.h"

#include <algorithm>
#include <cstdio>

namespace warploom {

Mbarriers mbarriers;

Mbarrier &Mbarriers::at(u32 address, const char *verb, Site site) {
  for (Mbarrier &one : all) {
    if (one.address != address)
      continue;
    if (one.maker != block.current && !block.clocks.knows(block.current, one.maker, one.made))
      fault("race", site,
            "%s the mbarrier at byte %lld of shared memory, which thread %d initialised at {%x}, "
            "with no barrier between",
            verb, shared.byteOf(address), one.maker, one.site);
    return one;
  }
  fault("barrier", site, "%s byte %lld of shared memory, where no mbarrier was initialised", verb,
        shared.byteOf(address));
}

void Mbarriers::endPhase(Mbarrier &barrier, Site site) {
  // A thread that waits asks for a parity: two phases further it would not see that its own ended.
  if (!barrier.woken.empty())
    fault("barrier", site,
          "ends phase %u of the mbarrier at byte %lld of shared memory before thread %d has seen "
          "the end of phase %u, which it waits for",
          barrier.phase, shared.byteOf(barrier.address), barrier.woken.front(), barrier.phase - 1);
  ++barrier.phase;
  barrier.missing = barrier.expected;
  barrier.ended = barrier.arriving;
  barrier.woken.swap(barrier.waiting);
  for (const int thread : barrier.woken)
    block.wake(thread);
}

void Mbarriers::complete(Mbarrier &barrier, u32 bytes, Site site) {
  barrier.bytes -= bytes;
  if (barrier.bytes < -mostBytes)
    fault("barrier", site, "brings more bytes than one phase of an mbarrier can count");
  if (barrier.missing == 0 && barrier.bytes == 0)
    endPhase(barrier, site);
}

void Mbarriers::tell(int thread) {
  for (Mbarrier &one : all)
    if (one.maker == thread || block.clocks.knows(thread, one.maker, one.made))
      one.isTold = true;
}

namespace {

/// What thread `thread` waits for, in a report of a deadlock.
void explainWait(int thread, char *to, std::size_t bytes) {
  for (const Mbarrier &one : mbarriers.all)
    if (std::find(one.waiting.begin(), one.waiting.end(), thread) != one.waiting.end())
      std::snprintf(to, bytes,
                    "phase %u of the mbarrier at byte %lld, which lacks %lld of %lld arrivals and "
                    "%lld bytes",
                    one.phase, shared.byteOf(one.address), static_cast<long long>(one.missing),
                    static_cast<long long>(one.expected), static_cast<long long>(one.bytes));
}

// ---- the barriers of a block ----

struct Named {
  int expected = 0, arrived = 0; // threads; 0 before the first of a round
  int line = 0;
  u32 round = 0;
  Knowledge arriving, ended;
  std::vector<int> waiting;
};
constexpr int namedCount = 16;
Named named[namedCount];

void explainNamed(int thread, char *to, std::size_t bytes) {
  for (int i = 0; i < namedCount; ++i)
    if (std::find(named[i].waiting.begin(), named[i].waiting.end(), thread) !=
        named[i].waiting.end())
      std::snprintf(to, bytes, "barrier %d of the block, where %d of %d threads are", i,
                    named[i].arrived, named[i].expected);
}

/// Words: which barrier, how many threads, and in return which round of it. A warp comes as a
/// whole.
void comeTo(Words *lanes, u32 mask, Site site) {
  const int first = block.current / warpSize * warpSize;
  const u32 *mine = lanes[block.lane()].at;
  for (int lane = 0; lane < warpSize; ++lane)
    if (mask >> lane & 1 && (lanes[lane].at[0] != mine[0] || lanes[lane].at[1] != mine[1]))
      fault("divergence", site,
            "comes to different barriers, or with different counts, in one warp");
  const int which = static_cast<int>(mine[0]), count = static_cast<int>(mine[1]);
  if (which < 1 || which >= namedCount)
    fault("barrier", site, "comes to barrier %d; a block has 1 to 15, and 0 is __syncthreads",
          which);
  if (count <= 0 || count % warpSize != 0)
    fault("barrier", site, "comes to barrier %d with a count of %d, which are not whole warps",
          which, count);
  Named &barrier = named[which];
  if (barrier.arrived > 0 && barrier.expected != count)
    fault("barrier", site,
          "comes to barrier %d with a count of %d, while others came with %d at {%x}", which, count,
          barrier.expected, siteOfLine(barrier.line));
  barrier.expected = count;
  barrier.line = static_cast<int>(site & 0x7fffffffu);
  barrier.arrived += warpSize;
  for (int lane = 0; lane < warpSize; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    block.clocks.tell(first + lane, barrier.arriving);
    lanes[lane].at[2] = barrier.round;
  }
  if (barrier.arrived < count)
    return;
  barrier.ended = barrier.arriving;
  barrier.arrived = 0;
  ++barrier.round;
  for (const int thread : barrier.waiting)
    block.wake(thread);
  barrier.waiting.clear();
}

const Collective waits = {"bar.sync", comeTo};
const Collective arrives = {"bar.arrive", comeTo};

void begin() {
  mbarriers.all.clear();
  for (Named &one : named)
    one = Named();
}

const Family family(begin, [] {}, [] {});

} // namespace
} // namespace warploom

using namespace warploom;

extern "C" {

void warploomBarrierInit(const void *pointer, int arrivals, int line) {
  const Site site = siteOfLine(line);
  const u32 address = shared.address(pointer, site);
  if (address % 8 != 0)
    fault("misaligned", site, "makes an mbarrier of the shared address %u", address);
  if (arrivals < 1 || arrivals > Mbarriers::mostBytes)
    fault("barrier", site, "initialises an mbarrier for %d arrivals", arrivals);
  shared.host(address, 8, "initialises", site);
  shared.makeBarrier(address, site);
  const int number = static_cast<int>(mbarriers.all.size());
  if (number == Block::mostBarriers)
    fault("barrier", site, "has more mbarriers than the %d that are emulated", Block::mostBarriers);
  Mbarrier made{};
  made.address = address;
  made.number = number;
  made.expected = made.missing = arrivals;
  made.maker = block.current;
  made.made = block.now();
  made.site = site;
  mbarriers.all.push_back(made);
}

void warploomBarrierInitDone() { mbarriers.tell(block.current); }

void warploomBarrierArrive(const void *pointer, int bytes, int line) {
  block.pause();
  const Site site = siteOfLine(line);
  Mbarrier &barrier = mbarriers.at(shared.address(pointer, site), "arrives at", site);
  barrier.bytes += bytes;
  if (bytes < 0 || barrier.bytes > Mbarriers::mostBytes)
    fault("barrier", site, "expects %d bytes more, %lld in all, of the %lld that a phase can count",
          bytes, static_cast<long long>(barrier.bytes),
          static_cast<long long>(Mbarriers::mostBytes));
  // Arrivals are in, and only copies are on their way: one more would belong to the next phase.
  if (barrier.missing == 0)
    fault("barrier", site,
          "arrives once more at the mbarrier at byte %lld of shared memory, whose phase %u has all "
          "its %lld arrivals",
          shared.byteOf(barrier.address), barrier.phase, static_cast<long long>(barrier.expected));
  block.clocks.tell(block.current, barrier.arriving);
  if (--barrier.missing == 0 && barrier.bytes == 0)
    mbarriers.endPhase(barrier, site);
}

void warploomBarrierWait(const void *pointer, u32 parity, int line) {
  block.pause();
  const Site site = siteOfLine(line);
  const u32 address = shared.address(pointer, site);
  if (parity > 1)
    fault("barrier", site, "waits for the parity %u", parity);
  Mbarrier *barrier = &mbarriers.at(address, "waits at", site);
  const int me = block.current;
  if ((barrier->phase & 1) == parity) {
    barrier->waiting.push_back(me);
    block.sleep(line, explainWait);
    barrier = &mbarriers.at(address, "waits at", site);
    barrier->woken.erase(std::find(barrier->woken.begin(), barrier->woken.end(), me));
  }
  block.clocks.learn(me, barrier->ended);
}

void warploomThreadsMeet(int which, int count, bool isWaiting, int line) {
  block.pause();
  const Words words = {{static_cast<u32>(which), static_cast<u32>(count)}};
  const u32 round = block.meet(isWaiting ? waits : arrives, block.livingLanes(), words, line).at[2];
  if (!isWaiting)
    return;
  Named &barrier = named[which];
  while (barrier.round == round) {
    barrier.waiting.push_back(block.current);
    block.sleep(line, explainNamed);
  }
  block.clocks.learn(block.current, barrier.ended);
}
}
