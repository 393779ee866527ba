import fc from 'fast-check';
import * as a from '../laws/properties/lift.ts';
const n = Number(process.argv[2]);
const m = new a.Modules();
for (const [name, p] of Object.entries({ t: a.textLifts(), m: a.meaningsAgree(), f: a.filesLift(m), w: a.writingChangesNothing(m) })) {
const t=performance.now();
const k = name==='f'||name==='w'? Math.ceil(n/10):n;
try { await fc.assert(p as any, { numRuns: k, seed: Number(process.argv[3] ?? 1) }); } catch (e) { console.log(String((e as Error).message).slice(0,2500), String((e as any).cause).slice(0,3000)); }
console.log(name, k/(performance.now()-t)*1000, 'cases/s');
}
m.remove();
