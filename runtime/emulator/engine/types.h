// The short names of integers, as the kernels have them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace warploom {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

constexpr int warpSize = 32;

/// Where in a kernel something happened: a line of its text (marked by the top bit), or the offset
/// of an instruction in its module. The driver turns the latter into a line.
using Site = u32;
constexpr Site siteOfLine(int line) { return 0x80000000u | static_cast<u32>(line); }

} // namespace warploom
