// The attention kernel of one pattern for one dtype and one pair of head dimensions: what all kernels share,
// around the text of a back-end.

import { primitivesFor } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { namesOf } from '../names.ts';
import { Struct } from '../struct.ts';
import { Uniforms } from '../uniforms.ts';
import { unitBytes, unitFields, unitText } from '../unit.ts';
import type { AttentionBackend, KernelContext, KernelLaunch, LaunchRequest } from './backend.ts';
import { exponentOf } from './exponent.ts';
import { headsAreAlike } from './heads.ts';
import { gathers, type KernelPass, passesOf, withFixed } from './passes.ts';
import { portable } from './portable/index.ts';
import type { AttentionSpec } from './spec.ts';
import type { TileKnobs } from './tiles.ts';
import { turnFields } from './turns.ts';
import { masksText } from './walk.ts';

/** An attention kernel, and what a launch of it has to prepare. */
export interface AttentionKernel {
  readonly kernel: Kernel;
  readonly knobs: TileKnobs;
  readonly passes: readonly KernelPass[];
  /** Why it cannot run, whatever the device; undefined as a rule. */
  readonly problem: string | undefined;
  /** One launch of the kernel. */
  readonly launch: (request: LaunchRequest) => KernelLaunch;
}

/** The kernel that a back-end makes of a pattern. */
export function attentionKernel<Knobs extends TileKnobs>(
  spec: AttentionSpec<Knobs>,
  backend: AttentionBackend<Knobs> = portable,
): AttentionKernel {
  const uniforms = new Uniforms();
  const mask = uniforms.ofMask(withFixed(spec.mask, spec.fixed));
  const passes = passesOf(mask, spec.gather, spec.restSize);
  const forms = {
    relative: backend.relative,
    ramps: backend.ramps?.(spec, passes),
    listed: gathers(passes),
  };
  const score = spec.score && exponentOf(withFixed(spec.score, spec.fixed), uniforms, forms);
  const names = namesOf(spec.declarations);
  const unit = { ...spec, names, uniforms: uniforms.all, hasScale: uniforms.hasScale };
  const context: KernelContext<Knobs> = {
    ...spec,
    passes,
    score,
    names,
    headsAlike: headsAreAlike(spec),
    unitBytes: unitBytes(unit),
  };
  const params = new Struct('Arguments', [
    ...backend.fields(context),
    ...(spec.hasTurns ? turnFields : []),
    ...unitFields(unit),
  ]);
  const text = [
    '// ---- kernel ----',
    backend.constants(context) + poolSizeText(passes),
    params.text,
    unitText(unit),
    masksText(passes, names),
    backend.body(context),
  ].join('\n\n');
  const primitives = primitivesFor(text, ...primitivesOf(spec), ...backend.primitives);
  const kernel: Kernel = {
    name: 'attention',
    source: `${primitives}\n\n${text}`,
    threads: backend.threads(context),
    sharedBytes: backend.sharedBytes(context),
    params,
  };
  return {
    kernel,
    knobs: spec.knobs,
    passes,
    problem: backend.problem?.(context),
    launch: (request) => backend.launch(context, request),
  };
}

/** What masks and scores need of codegen/device. */
function primitivesOf({ declarations }: Pick<AttentionSpec, 'declarations'>): string[] {
  const some = (values: object, ...names: string[]) =>
    Object.keys(values).length > 0 ? names : [];
  const { sets, tensors } = declarations;
  return [
    ...['numbers', 'functions', 'power', 'integers', 'floats', 'bounds'],
    ...some(sets, 'global', 'sets'),
    ...some(tensors, 'tensors'),
  ];
}

/** Stand-ins are walked and weighed by the size of their pools. */
const poolSizeText = (passes: readonly KernelPass[]): string =>
  passes
    .map((pass) => (pass.kind === 'rest' ? `constexpr int pool_size = ${pass.size};\n` : ''))
    .join('');
