import fc from 'fast-check';
import * as a from '../laws/properties/abstraction.ts';
const n = Number(process.argv[2]);
for (const [name, p] of Object.entries({ p: a.pointsLieInIntervals(), a: a.answersAreTrue(), z: a.zonesBound(), s: a.setsCount() })) {
const t=performance.now();
try { fc.assert(p as any, { numRuns: n, seed: Number(process.argv[3] ?? 1) }); } catch (e) { console.log(String((e as Error).message).slice(0,3000), String((e as any).cause).slice(0,800)); }
console.log(name, n/(performance.now()-t)*1000, 'cases/s');
}
