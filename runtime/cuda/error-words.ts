// The words that kernels leave all ones, or write what went wrong into: many are filled at once, so that a call
// fills none.

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
