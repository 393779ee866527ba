// The second pass of a probe has the keys in parts: what a diagonal that goes on in the next part has there is its lead, kept
// apart until it is added to the sum that the part before left.

/** Of one query head: its leads [parts, LEADS]; the first query is at position `row`, and parts have `part` keys. */
struct Leads {
  const float* sums;
  int row, part, parts;
};

/**
 * Adds the leads of the distances [from, to) to their sums, by a block. LEADS, the queries, are a part's keys at most, so that no
 * distance has two. A barrier has to follow.
 */
template <int LEADS> WARPLOOM_DEVICE void add_leads(const Leads& leads, float* distances, int from, int to) {
  constexpr int ahead = 8;  // reads that are under way at once
  // Lead number i of part y belongs to the distance top - (y part + i): the larger the part, the nearer.
  const int top = leads.row + LEADS;
  if (top < from) return;
  const int first = max(1, (top - min(to, top)) / leads.part), last = min((top - from) / leads.part, leads.parts - 1);
  const int end = (last + 1) * LEADS;
  for (int i = first * LEADS + threadIdx.x; i < end; i += ahead * blockDim.x) {
    const auto distance_of = [&](int own) { return top - own / LEADS * leads.part - own % LEADS; };
    const auto has = [&](int own) { return own < end && distance_of(own) >= from && distance_of(own) < to; };
    float sums[ahead];
#pragma unroll
    for (int a = 0; a < ahead; ++a) {
      const int own = i + a * blockDim.x;
      if (has(own)) sums[a] = distances[distance_of(own)] + leads.sums[own];
    }
#pragma unroll
    for (int a = 0; a < ahead; ++a) {
      const int own = i + a * blockDim.x;
      if (has(own)) distances[distance_of(own)] = sums[a];
    }
  }
}
