// Dilation of bitmaps.

/** Word `word` of the union of [s, s + SIZE) over the members s of a row of `words` words. */
template <int SIZE> WARPLOOM_DEVICE u32 dilated_word(const u32* row, int words, int word) {
  // The last member before the word that can reach into it; far below, when there is none.
  int last = -SIZE;
  const int lowest = max(0, word * 32 - SIZE + 1);
  for (int other = min(word, words) - 1; other >= lowest >> 5; --other) {
    if (row[other] == 0) continue;
    last = other * 32 + 31 - __clz((int)row[other]);
    break;
  }
  const u32 own = word < words ? row[word] : 0u;
  u32 result = 0;
  for (int bit = 0; bit < 32; ++bit) {
    if (own >> bit & 1u) last = word * 32 + bit;
    if (word * 32 + bit - last < SIZE) result |= 1u << bit;
  }
  return result;
}
