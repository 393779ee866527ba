// Evenly spaced numbers: which of many things are looked at, where a few tell enough.

/** `count` of the numbers `[0, of)`: the middle of each of as many stretches, so that trends cancel; all where `count` is no less. */
export const spread = (of: number, count: number): number[] =>
  Array.from({ length: Math.min(of, count) }, (_, i) =>
    count >= of ? i : Math.floor(((i + 0.5) * of) / count),
  );
