// test:sanitizers without a GPU: the real program and the process that it has watched, on an emulated device, around
// them a tool that says what compute-sanitizer would.

import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patterns } from '../../patterns/index.ts';
import { exit } from '../../runtime/commands/failure.ts';
import { callEach, end, startOf } from '../device/sanitizers/calls.ts';
import { Findings, type Tool } from '../device/sanitizers/findings.ts';

const root = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'warploom-sanitizers-'));
const bin = join(work, 'cuda', 'bin');

beforeAll(() => {
  mkdirSync(bin, { recursive: true });
  const fake = join(bin, 'compute-sanitizer');
  const script = join(import.meta.dirname, 'fake-sanitizer.mjs');
  writeFileSync(fake, `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`);
  chmodSync(fake, 0o755);
});
afterAll(() => rmSync(work, { recursive: true }));

/** What the tool that is not there finds, by tool and pattern, and how it misbehaves. */
interface Scene {
  readonly found?: Partial<Record<Tool, Record<string, readonly string[]>>>;
  readonly sum?: number;
  readonly killed?: string;
  readonly hangs?: string;
  readonly isSilent?: boolean;
}

/** The program, with a toolkit that holds the tool unless the environment says otherwise. */
function sanitize(words: string, scene: Scene = {}, more: Readonly<Record<string, string>> = {}) {
  const loader = join(root, 'node_modules/tsx/dist/loader.mjs');
  const run = ['--import', `file://${loader}`, join(root, 'test/programs/run.ts')];
  const sizes = ['--device', 'emulated:sm_80', '--keys', '40'];
  const toolkit = { CUDA_HOME: dirname(bin), FAKE_SANITIZER: JSON.stringify(scene) };
  const child = spawn(
    process.execPath,
    [...run, 'test:sanitizers', ...words.split(' '), ...sizes],
    {
      cwd: work,
      env: { ...process.env, ...toolkit, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (err += data));
  return new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

/** Columns of the table under each other, whatever their widths. */
const rowsOf = (out: string): string[] =>
  out
    .split('\n\n')[1]!
    .split('\n')
    .map((row) => row.trim().replace(/ {2,}/g, ' | '));

const invalid = `Invalid __global__ read of size 16 bytes
    at attention+0x1a0 in attention.cu:12
    by thread (31,0,0) in block (1,0,0)
    Address 0x7f3c7ec000fc is out of bounds`;
const race = `Error: Race reported between Write access at attention+0x2b80
    and Read access at attention+0x2c10 [16 hazards]`;
const hostRead = `Host API uninitialized memory access
    at cuMemcpyDtoHAsync_v2 of 32 bytes`;
const uninitialized = `Uninitialized __global__ memory read of size 4 bytes
    at select+0x70`;

describe('test:sanitizers', () => {
  it('is content with tools that find nothing but what the host reads', async () => {
    const found = { initcheck: { causal: [hostRead, hostRead] } };
    const { code, out, err } = await sanitize('--only causal documents', { found });
    expect([code, err]).toEqual([exit.fine, '']);
    expect(rowsOf(out)).toEqual([
      'memcheck | racecheck | initcheck | read by the host',
      'causal | 0 | 0 | 0 | 2',
      'documents | 0 | 0 | 0 | 0',
    ]);
    expect(out).toMatch(
      /\n2 patterns with 40 keys: 0 findings; emulated:sm_80, compute-sanitizer 2025\.4\.1\.0, /,
    );
    expect(out).not.toContain('has not checked');
  });

  it('counts each finding for its tool and pattern, shows the first, and keeps all', async () => {
    const found = {
      memcheck: { causal: [invalid, invalid], documents: [invalid, invalid, invalid] },
      racecheck: { documents: [race] },
      initcheck: { causal: [hostRead], documents: [uninitialized, hostRead] },
    };
    const kept = join(work, 'kept');
    const { code, out, err } = await sanitize(`--only causal documents --out ${kept}`, { found });
    expect([code, err]).toEqual([exit.wrong, '']);
    expect(rowsOf(out.slice(out.indexOf('\n\n')))).toEqual([
      'memcheck | racecheck | initcheck | read by the host',
      'causal | 2 | 0 | 0 | 1',
      'documents | 3 | 1 | 1 | 1',
    ]);
    expect(out).toContain('2 patterns with 40 keys: 7 findings; ');
    expect(out.split('Address 0x7f3c7ec000fc')).toHaveLength(1 + 3);
    expect(out).toContain('=========     and Read access at attention+0x2c10 [16 hazards]');
    expect(out).not.toContain('has not checked');
    const all = readFileSync(join(kept, 'memcheck.txt'), 'utf8');
    expect(all.split('Address 0x7f3c7ec000fc')).toHaveLength(1 + 5);
    expect(all).toContain('ERROR SUMMARY: 5 errors\n');
  });

  it('fails where the tool sums up nothing, or more than it has printed', async () => {
    const silent = await sanitize('--tools memcheck --only causal', { isSilent: true });
    expect(silent.code).toBe(exit.wrong);
    expect(silent.out).toContain('memcheck has not checked everything: it says no summary\n');
    const more = await sanitize('--tools racecheck --only causal', { sum: 3 });
    expect(more.code).toBe(exit.wrong);
    expect(more.out).toContain('it counts 3 findings, and has printed 0 of them\n');
    expect(more.out).toContain('0 findings, and not everything was checked; ');
  });

  it('fails where the watched process dies, though the tool ends well', async () => {
    const words = '--tools initcheck --only causal documents';
    const { code, out } = await sanitize(words, { killed: 'documents' });
    expect(code).toBe(exit.wrong);
    expect(out).toContain('the calls did not come to their end while documents was called\n');
  });

  it('says what the watched process said where it fails by itself', async () => {
    const words = '--tools memcheck --only causal';
    const { code, out } = await sanitize(words, {}, { CXX: '/nowhere' });
    expect(code).toBe(exit.wrong);
    expect(out).toMatch(/it ended with code 1 while causal was called\n/);
    expect(out).toContain('\nerror[R002]: ');
  });

  it('ends a tool that does not end, and all that it started', async () => {
    const words = '--tools memcheck --only causal --minutes 0.15';
    const { code, out } = await sanitize(words, { hangs: 'causal' });
    expect(code).toBe(exit.wrong);
    expect(out).toContain('it took more than 0.15 minutes');
  });

  it('says where it has looked for the tool', async () => {
    const { code, out, err } = await sanitize('--only causal', {}, { CUDA_HOME: '', PATH: work });
    expect([code, out]).toEqual([exit.wrong, '']);
    expect(err).toMatch(
      /^error\[F001\]: compute-sanitizer is not there\n {2}= note: PATH: no compute-sanitizer\n {2}= note: CUDA_HOME: not set\n[\s\S]*\n {2}= help: .*--sanitizer FILE\n$/,
    );
    const other = await sanitize(`--only causal --sanitizer ${process.execPath}`);
    expect([other.code, other.err]).toEqual([
      exit.wrong,
      expect.stringMatching(/^error\[F001\]: '.*' is no compute-sanitizer: .*\n {2}= help: .*\n$/),
    ]);
  });
});

/** What remains of a run of one tool whose child ends well. */
function counted(tool: Tool, ...lines: readonly string[]) {
  const findings = new Findings(tool);
  const body = lines.flatMap((text) => text.split('\n').map((line) => `========= ${line}`));
  for (const line of [startOf('causal'), ...body, end]) findings.take(line);
  const { findings: own, hostReads } = findings.counts.get('causal')!;
  return { own, hostReads, troubles: findings.troubles({ code: 0, signal: null }) };
}

describe('a line of compute-sanitizer', () => {
  const none = { own: 0, hostReads: 0, troubles: [] };

  it('sums up, for one and for many', () => {
    for (const [tool, line] of [
      ['memcheck', 'ERROR SUMMARY: 0 errors'],
      ['initcheck', 'ERROR SUMMARY: 0 errors'],
      ['racecheck', 'RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)'],
    ] as const)
      expect(counted(tool, 'COMPUTE-SANITIZER', line)).toEqual(none);
    expect(counted('memcheck', invalid, '', 'ERROR SUMMARY: 1 error')).toEqual({ ...none, own: 1 });
    const one = 'RACECHECK SUMMARY: 1 hazard displayed (0 errors, 1 warning)';
    const warned = race.replace('Error', 'Warning');
    expect(counted('racecheck', warned, one)).toEqual({ ...none, own: 1 });
  });

  it('sums up for its own tool alone', () => {
    expect(counted('racecheck', 'ERROR SUMMARY: 0 errors').troubles).toEqual([
      'it says no summary',
    ]);
  });

  it('is a finding or not, by the tool that says it', () => {
    const older = `Host API memory access error at host access to 0x7f7941430200 of size 16 bytes
    Uninitialized access at 0x7f7941430200 on access by cudaMemcpy source`;
    const sum = 'ERROR SUMMARY: 1 error';
    expect(counted('initcheck', older, sum)).toEqual({ ...none, hostReads: 1 });
    expect(counted('initcheck', hostRead, sum)).toEqual({ ...none, hostReads: 1 });
    expect(counted('initcheck', uninitialized, sum)).toEqual({ ...none, own: 1 });
    expect(counted('memcheck', older, sum)).toEqual({ ...none, own: 1 });
  });

  it('says that not all was checked', () => {
    const lines = [
      'Error: Target application terminated before first instrumented API call',
      'Target application returned an error',
      'Warning: Maximum number of hazards reached',
      'ERROR SUMMARY: 2 errors were not printed. Use --print-limit option to adjust the number',
    ];
    expect(counted('memcheck', ...lines, 'ERROR SUMMARY: 0 errors')).toEqual({
      ...none,
      troubles: lines.map((line) => `it says '${line}'`),
    });
  });
});

it('calls every pattern, after a line that names it', async () => {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => lines.push(line);
  try {
    await callEach([...patterns.keys()], 'emulated:sm_80', 40);
  } finally {
    console.log = log;
  }
  expect(lines).toEqual([...[...patterns.keys()].map(startOf), end]);
}, 300_000);
