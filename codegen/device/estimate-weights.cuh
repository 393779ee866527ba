// From scores to weights: as they are, by softmax, or by exp with a factor left open.

#define HOW_RAW 0
#define HOW_SOFTMAX 1
#define HOW_EXP 2

/** What a row's weights are made with: its largest score (or a larger one), and 1 / sum of its exponentials. */
struct RowStatistics {
  float maximum, scale;
};

template <int HOW> WARPLOOM_DEVICE float weight_of(float score, RowStatistics row) {
  if (HOW == HOW_RAW) return score;
  const float weight = expf(score - row.maximum);
  return HOW == HOW_SOFTMAX ? weight * row.scale : weight;
}
