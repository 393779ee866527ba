import fc from 'fast-check';
import { openDevice } from '/work/main/runtime/device.ts';
import { devicesAgree } from '/work/main/test/laws/properties/devices.ts';
const device = await openDevice('cpu', { threads: 0 });
const n = Number(process.argv[2]);
const t=performance.now();
await fc.assert(devicesAgree(device), { numRuns: n, seed: Number(process.argv[3] ?? 1) });
console.log(n/(performance.now()-t)*1000, 'cases/s');
