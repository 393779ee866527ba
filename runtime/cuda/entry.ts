// One entry of the cache as bytes: a checksum over all that follows, a header, the machine code. Where
// entries lie is cache.ts.

import { createHash } from 'node:crypto';
import type { KernelReport } from './report.ts';

/** What is kept of a compiled kernel. */
export interface CacheEntry {
  readonly cubin: Uint8Array;
  readonly report: KernelReport;
  /** The version of the NVRTC that made it: `13.0`. */
  readonly compiler: string;
}

/** Part of every key: entries of another form are never looked at. */
export const entryForm = 2;

interface Header {
  readonly key: string;
  readonly report: KernelReport;
  readonly compiler: string;
}

const checksumBytes = 32;
const prefixBytes = checksumBytes + 4;

/** `checksum of the rest (32) | bytes of the header (u32) | header as JSON | cubin`. */
export function encodeEntry(key: string, { cubin, report, compiler }: CacheEntry): Uint8Array {
  const header = Buffer.from(JSON.stringify({ key, report, compiler } satisfies Header));
  const bytes = Buffer.alloc(prefixBytes + header.length + cubin.length);
  bytes.writeUInt32LE(header.length, checksumBytes);
  header.copy(bytes, prefixBytes);
  bytes.set(cubin, prefixBytes + header.length);
  checksumOf(bytes).copy(bytes);
  return bytes;
}

/** The entry in a file, undefined when one bit of it is not as it was written, or it is another's. */
export function decodeEntry(key: string, bytes: Buffer): CacheEntry | undefined {
  if (bytes.length < prefixBytes) return undefined;
  if (!checksumOf(bytes).equals(bytes.subarray(0, checksumBytes))) return undefined;
  // Whole from here on: what was written is what is read.
  const end = prefixBytes + bytes.readUInt32LE(checksumBytes);
  const header = JSON.parse(bytes.toString('utf8', prefixBytes, end)) as Header;
  if (header.key !== key) return undefined;
  const { report, compiler } = header;
  return { cubin: new Uint8Array(bytes.subarray(end)), report, compiler };
}

const checksumOf = (bytes: Buffer): Buffer =>
  createHash('sha256').update(bytes.subarray(checksumBytes)).digest();
