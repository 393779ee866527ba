// The words that kernels leave all ones, or write what went wrong into, and what they say. Many are filled at once,
// so that a call fills none.

import { diagnostic, PlanError, type ShapeError } from '../../dsl/diagnostic.ts';
import { notANumber } from '../inputs.ts';
import { Block } from './block.ts';
import type { Machine } from './machine.ts';

const wordBytes = 8;
/** In a block: as many as a machine writes without waiting, or fewer. */
const words = 4096;
const ones = new Uint8Array(words * wordBytes).fill(0xff);

/** A word of all ones that nobody had before. Its block has one holder more, who is whoever took the word. */
export interface ErrorWord {
  readonly block: Block;
  readonly offset: number;
}

export class ErrorWords {
  readonly #machine: Machine;
  #block: Block | undefined;
  #next = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  take(): ErrorWord {
    const block = this.#block ?? this.#fill();
    const offset = this.#next;
    block.keep();
    this.#next += wordBytes;
    if (this.#next === ones.length) {
      // Used up: it lasts as long as its last word.
      block.release();
      this.#block = undefined;
    }
    return { block, offset };
  }

  #fill(): Block {
    const block = new Block(this.#machine, ones.length);
    try {
      this.#machine.write(block.address, ones);
    } catch (error) {
      block.release();
      throw error;
    }
    this.#block = block;
    this.#next = 0;
    return block;
  }
}

/** The word that an attention kernel leaves: unit << 32 | row of the first row that is not a number. */
export function notNumber(word: bigint, heads: number): ShapeError {
  const unit = Number(word >> 32n);
  const row = Number(word & 0xffff_ffffn);
  return notANumber({ batch: Math.floor(unit / heads), head: unit % heads, row });
}

/** The word that an estimate leaves: batch << 48 | head << 32 | row of the first score that is not finite. */
export function notFinite(pattern: string, word: bigint): PlanError {
  const [batch, head, row] = [word >> 48n, (word >> 32n) & 0xffffn, word & 0xffff_ffffn];
  return new PlanError([
    diagnostic(
      'E004',
      `a score of the estimate of '${pattern}' is not finite in row ${row} of head ${head} of batch ${batch}`,
      {
        help: 'look for NaN, infinities and overflow in q and k of that head',
      },
    ),
  ]);
}
