// The words of every program, without a GPU: --help, and what one mistake of each kind is told.

import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { exit } from '../../runtime/commands/failure.ts';
import { Terminal } from '../../runtime/commands/terminal.ts';
import { perform, programs } from './index.ts';

async function say(...words: readonly string[]) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const code = await perform(words, new Terminal(out, err));
  const text = (stream: PassThrough): string => String(stream.read() ?? '');
  return { code, out: text(out), err: text(err) };
}

/** One line that says what is wrong, and one of help. */
const complaint = /^(warploom: |error\[[A-Z]\d{3}\]: ).*\n {2}= help: .*\n$/;

describe.each(Object.keys(programs))('%s', (name) => {
  it('says what it is, its options with defaults, and how it is called', async () => {
    const { code, out, err } = await say(name, '--help');
    const { program } = await programs[name]!();
    expect([code, err]).toEqual([exit.fine, '']);
    expect(out.replace(/\s+/g, ' ')).toContain(program.summary);
    expect(out).toMatch(/^Usage: npm run /);
    expect(out).toMatch(/\nExamples:\n {2}\$ npm run /);
    // An option that takes a number says which it is when left out.
    for (const line of out.split(/\n {2}(?=-)/).filter((one) => /^--\S+ <n>/.test(one)))
      expect(line).toMatch(/\(default: [\d.]+\)/);
  });

  it('takes no option that it does not know', async () => {
    const { code, out, err } = await say(name, '--nosuch');
    expect([code, out]).toEqual([exit.usage, '']);
    expect(err).toMatch(complaint);
    expect(err).toContain("unknown option '--nosuch'");
  });
});

const works = /= help: there are: causal 4K; causal 8K; .*; causal 1M 8\/2\n$/;

describe('one line for', () => {
  it.each([
    ['a work that no name has', 'bench attention --only nosuch', works],
    ['one among others', 'bench attention --only causal nosuch', works],
    [
      'a work that --quick leaves out',
      'bench attention --quick --only 128K',
      /= help: there are: /,
    ],
    ['a work of whole calls', 'bench end-to-end --only nosuch', /= help: there are: /],
    ['a work of indices', 'bench index --only nosuch', /= help: there are: vertical-slash 128K/],
    ['a case of primitives', 'test:primitives --only nosuch', /= help: there are: ldmatrix/],
    ['a pattern', 'bench compile --only nosuch', /Allowed choices are causal, sliding-window, /],
    ['a law', 'test:device --law nosuch', /Allowed choices are 6 random patterns, /],
    ['a law without a device', 'test:laws --law nosuch', /Allowed choices are 6 devices, random /],
    ['no time', 'test:laws --minutes 0', /Give a number above 0/],
    ['a fault', 'test:mutations --only nosuch', /no fault is named like 'nosuch'\n/],
    [
      'a tool',
      'test:sanitizers --tools nosuch',
      /Allowed choices are memcheck, racecheck, initcheck/,
    ],
    ['a device without kernels', 'test:sanitizers --device cpu', /--device cuda/],
    ['a form', 'tune:defaults --forms ranges,nosuch', /Forms are ranges, /],
    ['a time', 'tune:defaults --budget 9', /Give a time such as 30s/],
    ['a list of numbers', 'tune:defaults --dims 64,x', /Give a whole number from 1/],
    ['no whole number', 'bench attention --rounds x', /Give a whole number from 1/],
    ['no round', 'bench attention --rounds 0', /Give a whole number from 1/],
    ['no number', 'bench index --round-ms x', /Give a number above 0/],
    ['a device that cannot do this', 'bench index --device cpu', /--device cuda/],
    ['a report that is none', 'bench compare package.json', /'package.json' is no report/],
    ['no report', 'bench compare', /missing required argument 'reports'/],
    ['a bench', 'bench attentoin', /no bench 'attentoin'\n.* did you mean attention; there are: /],
    ['a program', 'test:nosuch', /no program 'test:nosuch'\n.* there are: bench:attention, /],
  ])('%s', async (_, words, said) => {
    const { code, out, err } = await say(...words.split(' '));
    expect([code, out]).toEqual([exit.usage, '']);
    expect(err).toMatch(complaint);
    expect(err).toMatch(said);
  });

  it.each([
    ['test:laws', '4 forms', '--minutes'],
    ['test:device', '9 ones', '--processes'],
  ])('what %s does not read beside a law', async (name, law, option) => {
    const { code, out, err } = await say(name, '--law', law, option, '2');
    expect([code, out]).toEqual([exit.usage, '']);
    expect(err).toMatch(complaint);
    expect(err).toMatch(new RegExp(`'--law <name>' cannot be used with option '${option} <n>'`));
  });

  it.each([
    ['a device that is not there', 'bench end-to-end --device cuda:99', 'R002'],
    ['one that the processes would open', 'test:device --device cuda:99', 'R002'],
    ['one that the tools would watch', 'test:sanitizers --device cuda:99', 'R002'],
    ['a file that cannot be read', 'bench compare nosuch.json', 'F001'],
    ['a file that cannot be written', 'bench attention --json nosuch/ours.json', 'F005'],
  ])('%s', async (_, words, error) => {
    const { code, out, err } = await say(...words.split(' '));
    expect([code, out]).toEqual([exit.wrong, '']);
    expect(err).toMatch(complaint);
    expect(err).toContain(`error[${error}]`);
  });
});

it.each([['bench'], ['bench', '--help'], ['bench:']])(
  '`%s %s` lists the benches',
  async (...words) => {
    const { code, out } = await say(...words);
    expect(code).toBe(exit.fine);
    for (const name of Object.keys(programs).filter((one) => one.startsWith('bench:')))
      expect(out).toMatch(new RegExp(`^ {2}${name.slice('bench:'.length)} +\\S`, 'm'));
  },
);
