// The bits of a set in the registers of a warp: 128 words, of which a lane holds four.

export const setWords = `// Lanes hold the bits of 128 words from \`base\` on, four each.
struct Words {
  u32 own[4];
};
WARPLOOM_DEVICE Words load_words(const u32* bits, int stride, int base) {
  Words words;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int word = base + (int)(threadIdx.x & 31) * 4 + i;
    words.own[i] = word >= 0 && word < stride ? bits[word] : 0u;
  }
  return words;
}
// Word \`at\` of those that the lanes hold; each lane may ask for another.
WARPLOOM_DEVICE u32 word_at(const Words& words, int at) {
  u32 all[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) all[i] = __shfl_sync(FULL_WARP, words.own[i], at >> 2);
  return (at & 2) != 0 ? ((at & 1) != 0 ? all[3] : all[2]) : ((at & 1) != 0 ? all[1] : all[0]);
}
// As many bits as a box has keys, from bit \`at\` on.
WARPLOOM_DEVICE u64 bits_at(const Words& words, int at) {
  u32 part[3];
#pragma unroll
  for (int i = 0; i <= box_keys / 32; ++i) part[i] = word_at(words, (at >> 5) + i);
  u64 bits = 0ull;
#pragma unroll
  for (int i = 0; i < box_keys / 32; ++i) bits |= (u64)__funnelshift_r(part[i], part[i + 1], at & 31) << (32 * i);
  return bits;
}
`;

/** `reversed`. */
export const reversedText =
  'WARPLOOM_DEVICE u64 reversed(u64 bits) { return __brevll(bits) >> (64 - box_keys); }';
