// Which of the known names was probably meant.

/** Letters to add, drop, replace or swap with a neighbour. */
export function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** The known names within a few letters of `name`, or that it begins; the nearest first. */
export function nearest(name: string, known: Iterable<string>): string[] {
  const wanted = name.toLowerCase();
  const most = Math.max(1, Math.floor(wanted.length / 3));
  return [...known]
    .map((one) => ({ one, far: distance(wanted, one.toLowerCase()) }))
    .filter(({ one, far }) => far <= most || (wanted.length > 1 && one.startsWith(wanted)))
    .sort((a, b) => a.far - b.far)
    .map(({ one }) => one)
    .slice(0, 3);
}

/** `did you mean a or b`, or undefined. */
export function suggestion(name: string, known: Iterable<string>): string | undefined {
  const names = nearest(name, known);
  return names.length === 0 ? undefined : `did you mean ${names.join(' or ')}`;
}
