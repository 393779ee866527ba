import fc from 'fast-check';
import { plansCover, formsAgree } from '../laws/properties/coverage.ts';
const n = Number(process.argv[2]);
for (const p of [plansCover(), formsAgree()]) {
const t=performance.now();
try { fc.assert(p as any, { numRuns: n, seed: Number(process.argv[3] ?? 1) }); } catch (e) { console.log(String((e as Error).message).slice(0,3000), String((e as any).cause).slice(0,500)); }
console.log(n/(performance.now()-t)*1000, 'cases/s');
}
