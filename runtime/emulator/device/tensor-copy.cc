// The engine's side of copies of boxes. A box lies in shared memory with its fastest axis first,
// its bytes swizzled by their addresses; what it has outside of the tensor is loaded as zeros, and
// not stored (PTX ISA, "Tensors"; CUDA driver API, cuTensorMapEncodeTiled).
#include "mbarriers.h"
#include "tensor-map.h"

#include "../engine/block.h"
#include "../engine/family.h"
#include "../engine/fault.h"
#include "../engine/memory.h"
#include "../engine/shared.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace warploom {

const MapWords &mapAt(const void *pointer, Site site) {
  const MapWords &map = *static_cast<const MapWords *>(pointer);
  if (reinterpret_cast<u64>(pointer) % 64 != 0)
    fault("descriptor", site, "takes a tensor map at %p, which is not aligned to 64", pointer);
  if (map.mark != mapMark)
    fault("descriptor", site, "takes something for a tensor map that is none");
  const auto want = [&](bool isRight, const char *what) {
    if (!isRight)
      fault("descriptor", site, "takes a tensor map that the driver refuses: %s", what);
  };
  want(map.axes >= 1 && map.axes <= mapAxes, "it has 1 to 5 axes");
  want(map.address % 16 == 0, "the tensor is aligned to 16 bytes");
  for (u32 axis = 0; axis < map.axes; ++axis) {
    want(map.sizes[axis] > 0, "axes have elements");
    want(map.box[axis] >= 1 && map.box[axis] <= 256, "a box has 1 to 256 elements along an axis");
    if (axis > 0)
      want(map.strides[axis - 1] % 16 == 0 && map.strides[axis - 1] < u64(1) << 40,
           "strides are multiples of 16 bytes, below 2^40");
  }
  const u32 rowBytes = map.box[0] * map.elementBytes;
  want(rowBytes % 16 == 0, "a row of a box is a multiple of 16 bytes");
  want(!map.swizzle || rowBytes <= map.swizzle, "a row of a box is no longer than swizzled rows");
  return map;
}

namespace {

/// 16 bytes of a box: where in shared memory, and which of its elements lie in the tensor.
struct Piece {
  u32 at;       // in shared memory
  u8 *global;   // of its first byte, there or not
  u32 from, to; // bytes that are there

  bool isThere() const { return to > from; }
};
constexpr u32 pieceBytes = 16;

/// All pieces of the box at `first`, whose corner lies at `base` in shared memory.
std::vector<Piece> piecesOf(const MapWords &map, u32 base, const int (&first)[mapAxes]) {
  u32 rows = 1;
  for (u32 axis = 1; axis < map.axes; ++axis)
    rows *= map.box[axis];
  const u32 size = map.elementBytes, perPiece = pieceBytes / size, perRow = map.box[0] / perPiece;
  std::vector<Piece> pieces;
  pieces.reserve(rows * perRow);
  for (u32 row = 0; row < rows; ++row) {
    i64 offset = 0;
    bool isInside = true;
    for (u32 axis = 1, left = row; axis < map.axes; ++axis) {
      const i64 index = first[axis] + static_cast<i64>(left % map.box[axis]);
      left /= map.box[axis];
      isInside = isInside && index >= 0 && index < map.sizes[axis];
      offset += index * static_cast<i64>(map.strides[axis - 1]);
    }
    for (u32 i = 0; i < perRow; ++i) {
      const i64 index = first[0] + static_cast<i64>(i) * perPiece;
      // Elements [from, to) of the piece lie between 0 and the end of the axis.
      const i64 from = std::clamp<i64>(-index, 0, perPiece);
      const i64 to = std::clamp<i64>(static_cast<i64>(map.sizes[0]) - index, from, perPiece);
      const u32 at = swizzled(base + (row * perRow + i) * pieceBytes, map.swizzle);
      pieces.push_back({at, reinterpret_cast<u8 *>(map.address + offset + index * size),
                        static_cast<u32>(isInside ? from * size : 0),
                        static_cast<u32>(isInside ? to * size : 0)});
    }
  }
  return pieces;
}

void checkPlace(u32 at, u32 bytes, const char *verb, Site site) {
  if (at % 128 != 0)
    fault("misaligned", site, "%s a box at the shared address %u, which is not aligned to 128",
          verb, at);
  shared.host(at, bytes, verb, site);
}

u32 bytesOf(const std::vector<Piece> &pieces) {
  return static_cast<u32>(pieces.size()) * pieceBytes;
}

// ---- loads ----

struct Load {
  std::vector<Piece> pieces;
  std::vector<u8> data; // as it was at the start
  u32 barrier;          // its address
  int thread;
  Site site;
};
int loading = 0;
Site lastLoad = 0;

void arrive(const Load &load) {
  const RunsAs thread(load.thread);
  Mbarrier &barrier = mbarriers.at(load.barrier, "completes", load.site);
  const int writer = block.copiesOf(barrier.number);
  const u32 time = block.clocks.act(writer);
  for (std::size_t i = 0; i < load.pieces.size(); ++i) {
    const Piece &piece = load.pieces[i];
    const u8 *data = load.data.data() + i * pieceBytes;
    // It may have been read at any time until now.
    if (piece.isThere() &&
        std::memcmp(data + piece.from, piece.global + piece.from, piece.to - piece.from) != 0)
      fault("race", load.site, "copies a box whose source was overwritten on its way");
    std::memcpy(shared.host(piece.at, pieceBytes, "copies", load.site), data, pieceBytes);
    shared.arriveAsync(piece.at, pieceBytes, load.site, writer, time);
  }
  --loading;
  block.clocks.tellOf(writer, time, barrier.arriving);
  mbarriers.complete(barrier, bytesOf(load.pieces), load.site);
}

// ---- stores ----

struct Store {
  std::vector<Piece> pieces;
  std::vector<u8> data; // once it is read
  u64 tensor;
  int first[mapAxes];
  Site site;
  u32 group;
  bool isRead;
};
std::vector<std::vector<Store>> stores; // of each thread, oldest first
std::vector<u32> groups;                // of each thread: closed so far

void readStore(Store &store) {
  if (store.isRead)
    return;
  store.isRead = true;
  store.data.resize(bytesOf(store.pieces));
  for (std::size_t i = 0; i < store.pieces.size(); ++i) {
    const u32 at = store.pieces[i].at;
    if (!store.pieces[i].isThere())
      continue;
    shared.endReads(at, pieceBytes);
    shared.read(at, pieceBytes, store.site);
    std::memcpy(store.data.data() + i * pieceBytes,
                shared.host(at, pieceBytes, "stores", store.site), pieceBytes);
  }
}

void writeStore(const Store &store) {
  for (std::size_t i = 0; i < store.pieces.size(); ++i) {
    const Piece &piece = store.pieces[i];
    if (!piece.isThere())
      continue;
    u8 *to = piece.global + piece.from;
    memory.write(to, piece.to - piece.from, store.site);
    std::memcpy(to, store.data.data() + i * pieceBytes + piece.from, piece.to - piece.from);
  }
}

/// Two boxes of one tensor that overlap, the first of which nobody has waited for.
void checkStores(const Store &store, const MapWords &map) {
  for (const Store &other : stores[block.current]) {
    bool overlap = other.tensor == store.tensor;
    for (int axis = 0; axis < mapAxes; ++axis)
      overlap = overlap &&
                std::abs(store.first[axis] - other.first[axis]) < static_cast<int>(map.box[axis]);
    if (overlap)
      fault("race", store.site,
            "stores a box where the store of {%x} is yet to write, without having waited for it",
            other.site);
  }
}

void begin() {
  loading = 0;
  stores.assign(block.threads, {});
  groups.assign(block.threads, 0);
}

void endThread() {
  for (const Store &store : stores[block.current])
    if (!store.isRead)
      fault("pending-read", store.site,
            "ends its thread while the store of this line may still read shared memory");
}

/// What was stored is written by the end of the launch.
void endBlock() {
  if (loading > 0)
    fault("pending-copy", lastLoad, "ends the block while a copy of this line is on its way");
  for (int thread = 0; thread < block.threads; ++thread) {
    const RunsAs writer(thread);
    for (const Store &store : stores[thread])
      writeStore(store);
  }
}

const Family family(begin, endThread, endBlock);

} // namespace
} // namespace warploom

using namespace warploom;

extern "C" {

void warploomMapPrefetch(const void *map, int line) { mapAt(map, siteOfLine(line)); }

void warploomCopyBox(u32 to, const void *pointer, const void *barrierPointer, int c0, int c1,
                     int c2, int c3, int c4, u64 cache, int line) {
  block.pause();
  const Site site = siteOfLine(line);
  const MapWords &map = mapAt(pointer, site);
  if (map.axes != mapAxes)
    fault("descriptor", site, "copies a box of 5 axes by a map of %u", map.axes);
  // createpolicy makes others; these are what is written out.
  if (cache != 0x12F0000000000000ull && cache != 0x14F0000000000000ull &&
      cache != 0x1000000000000000ull)
    fault("descriptor", site, "copies with %016llx, which is no cache policy",
          static_cast<unsigned long long>(cache));
  Mbarrier &barrier = mbarriers.at(shared.address(barrierPointer, site), "copies for", site);
  if (!barrier.isTold)
    fault("fence", site,
          "copies for the mbarrier of {%x}, with no fence.mbarrier_init since it was initialised",
          barrier.site);
  auto load = std::make_shared<Load>();
  load->pieces = piecesOf(map, to, {c0, c1, c2, c3, c4});
  load->barrier = barrier.address;
  load->thread = block.current;
  load->site = lastLoad = site;
  const u32 bytes = bytesOf(load->pieces);
  checkPlace(to, bytes, "copies", site);
  load->data.assign(bytes, 0);
  for (std::size_t i = 0; i < load->pieces.size(); ++i) {
    const Piece &piece = load->pieces[i];
    shared.expectAsync(piece.at, pieceBytes, site);
    if (!piece.isThere())
      continue;
    memory.readAsync(piece.global + piece.from, piece.to - piece.from, site);
    std::memcpy(load->data.data() + i * pieceBytes + piece.from, piece.global + piece.from,
                piece.to - piece.from);
  }
  ++loading;
  block.effects.add([load] { arrive(*load); });
}

void warploomStoreBox(const void *pointer, u32 from, int c0, int c1, int c2, int c3, int c4,
                      int line) {
  block.pause();
  const Site site = siteOfLine(line);
  const MapWords &map = mapAt(pointer, site);
  if (map.axes != mapAxes)
    fault("descriptor", site, "stores a box of 5 axes by a map of %u", map.axes);
  // Boxes may end outside of the tensor; to an H100 a store that begins before it is an illegal instruction.
  for (const int first : {c0, c1, c2, c3, c4})
    if (first < 0)
      fault("box", site, "stores a box from (%d, %d, %d, %d, %d) on, before its tensor", c0, c1, c2,
            c3, c4);
  Store store{piecesOf(map, from, {c0, c1, c2, c3, c4}),
              {},
              map.address,
              {c0, c1, c2, c3, c4},
              site,
              groups[block.current],
              false};
  checkPlace(from, bytesOf(store.pieces), "stores", site);
  checkStores(store, map);
  SharedMemory::Seen seen;
  for (const Piece &piece : store.pieces)
    if (piece.isThere())
      shared.beginReads(piece.at, pieceBytes, block.current, 1, site, seen);
  stores[block.current].push_back(std::move(store));
}

void warploomStoreCommit() { ++groups[block.current]; }

void warploomStoreWait(bool isWritten, int) {
  block.pause();
  std::vector<Store> &mine = stores[block.current];
  std::vector<Store> open;
  for (Store &store : mine) {
    if (store.group == groups[block.current]) {
      open.push_back(std::move(store));
      continue;
    }
    readStore(store);
    if (isWritten)
      writeStore(store);
    else
      open.push_back(std::move(store));
  }
  mine.swap(open);
}

void warploomSharedWritten() {
  block.clocks.fence(block.current);
  mbarriers.tell(block.current);
}
}
