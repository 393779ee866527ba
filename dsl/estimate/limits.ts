// Whether what a head chose costs as much as dense attention: the members of its sets beside the numbers from which on
// each alone would. In integers, so that every device says the same. Where the numbers come from: runtime/predicted.ts.

/** From how many members on each set costs as much as dense attention; sets that are left out cost nothing. */
export type Limits = Readonly<Record<string, number>>;

/** Which heads attend to the hull of their mask once it is known how much they chose. */
export interface FallbackLimits {
  /** By query head; the others never do. */
  readonly heads: ReadonlyMap<number, Limits>;
  /** The query heads of a KV head do so together, since they share a choice: their limits are the same. */
  readonly isShared: boolean;
}

/** The cost of dense attention. */
export const denseCost = 2 ** 40;

/** What a member costs, rounded up. */
export const memberCost = (limit: number): number => Math.ceil(denseCost / limit);

/** What members cost, as much as dense attention at most. */
export const costOfMembers = (members: number, limit: number): number =>
  Math.min(members, limit) * memberCost(limit);
