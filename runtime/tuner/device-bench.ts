// Choices tried on a real device, which another process holds: the same calls that everybody makes, on a machine that
// can be ended and started again.

import { type Choice, choiceName, kernelOf } from '../../codegen/attention/choice.ts';
import type { AttentionKernel } from '../../codegen/attention/kernel.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { type Attend, compile } from '../attend.ts';
import { GpuDevice } from '../cuda/device.ts';
import type { KernelFacts } from '../cuda/machine.ts';
import { uploadSets } from '../cuda/sets.ts';
import type { FloatType } from '../dtype.ts';
import type { AttentionInputs } from '../inputs.ts';
import { Tensor } from '../tensor.ts';
import type { Bench, Rows } from './bench.ts';
import type { Compilers } from './compilers.ts';
import type { Start } from './process.ts';
import { RemoteMachine } from './remote.ts';
import { differenceOf, readRows, type Tolerance, toleranceOf } from './rows.ts';

export interface DeviceBenchRequest {
  readonly pattern: AnyPattern;
  /** In host memory: they are brought over as often as the device is started. */
  readonly inputs: AttentionInputs;
  readonly params: Readonly<Record<string, number | readonly number[]>>;
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly device: string;
  readonly compilers: Compilers;
  readonly start?: Start | undefined;
}

/** A device that is at work: calls by the names of their choices. */
interface Session {
  readonly remote: RemoteMachine;
  readonly device: GpuDevice;
  readonly inputs: AttentionInputs;
  readonly calls: Map<string, Attend>;
}

export class DeviceBench implements Bench {
  readonly compilers: number;
  readonly #request: DeviceBenchRequest;
  readonly #tolerance: Tolerance;
  readonly #kernels = new Map<string, AttentionKernel>();
  #remote: RemoteMachine;
  #session: Promise<Session> | undefined;
  /** Set by the kernel that everything begins with: what the others are made for, and the one that chooses sets. */
  #spec: Omit<AttentionSpec, 'knobs'> | undefined;
  #untuned: Choice | undefined;

  private constructor(request: DeviceBenchRequest, remote: RemoteMachine) {
    const { inputs, shape, dtype, compilers } = request;
    this.compilers = compilers.count;
    this.#request = request;
    this.#remote = remote;
    this.#tolerance = toleranceOf(request.pattern.definition, inputs, shape, dtype);
  }

  /** throws: what opening the device throws. */
  static async open(request: DeviceBenchRequest): Promise<DeviceBench> {
    return new DeviceBench(request, await openRemote(request));
  }

  /** The chip, as far as kernels are chosen for it. */
  get machine(): RemoteMachine {
    return this.#remote;
  }

  /** Before anything is tried. */
  prepare(spec: Omit<AttentionSpec, 'knobs'>, untuned: Choice): void {
    this.#spec = spec;
    this.#untuned = untuned;
  }

  /** Brings the tensors over and chooses the sets. throws: DeviceError R007 where there is no room. */
  async begin(): Promise<void> {
    await this.#begun();
  }

  /** The kernel of a choice, written once. */
  kernel(choice: Choice): AttentionKernel {
    const name = choiceName(choice);
    const kernel = this.#kernels.get(name) ?? kernelOf(this.#spec!, choice);
    this.#kernels.set(name, kernel);
    return kernel;
  }

  compile(choice: Choice): Promise<KernelFacts> {
    return this.#request.compilers.facts(this.kernel(choice).kernel, this.#remote.arch);
  }

  async run(choice: Choice, calls: number): Promise<number> {
    const { remote, inputs, ...session } = await this.#begun();
    const attend = await this.#call({ remote, inputs, ...session }, choice);
    const from = remote.event();
    for (let i = 0; i < calls; i += 1) {
      const { out, lse } = await attend(inputs, this.#request.params);
      out.dispose();
      lse.dispose();
    }
    return (await remote.elapsed(from, remote.event())) / calls;
  }

  async rows(choice: Choice): Promise<Rows> {
    const session = await this.#begun();
    const { remote, inputs } = session;
    const attend = await this.#call(session, choice);
    remote.isMarking = true;
    try {
      const result = await attend(inputs, this.#request.params);
      const rows = await readRows(remote, result, this.#request.shape);
      result.out.dispose();
      result.lse.dispose();
      return rows;
    } finally {
      remote.isMarking = false;
    }
  }

  difference(reference: Rows, rows: Rows): string | undefined {
    return differenceOf(reference, rows, this.#request.shape.valueDim, this.#tolerance);
  }

  async reset(): Promise<void> {
    this.#remote.kill();
    this.#session = undefined;
    this.#remote = await openRemote(this.#request);
    await this.#begun();
  }

  /** Ends the device at once. */
  kill(): void {
    this.#remote.kill();
  }

  #begun(): Promise<Session> {
    this.#session ??= this.#begin();
    return this.#session;
  }

  async #begin(): Promise<Session> {
    const remote = this.#remote;
    const device = new GpuDevice(remote, remote.properties);
    const { pattern, params } = this.#request;
    const { chosen: passed, ...tensors } = this.#request.inputs;
    const inputs: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(tensors))
      inputs[name] = value instanceof Tensor ? await device.upload(value) : value;
    const session = { remote, device, inputs: inputs as never, calls: new Map() };
    const isDynamic = pattern.definition.estimates.length > 0;
    if (!passed && !isDynamic) return session;
    // The sets of one call are those of all: neither choosing them nor bringing them over is what is tuned.
    const chosen = passed
      ? await uploadSets(remote, passed as ChosenSetsData)
      : await (await this.#call(session, this.#untuned!)).estimate(session.inputs, params);
    return { ...session, inputs: { ...inputs, chosen } as never };
  }

  async #call({ device, calls }: Session, choice: Choice): Promise<Attend> {
    const name = choiceName(choice);
    let attend = calls.get(name);
    if (!attend) {
      const { pattern, shape, dtype } = this.#request;
      attend = await compile(pattern, { ...shape, dtype, device, choice });
      calls.set(name, attend);
    }
    return attend;
  }
}

const openRemote = ({ device, compilers, start }: DeviceBenchRequest): Promise<RemoteMachine> =>
  RemoteMachine.open(device, (kernel, arch) => compilers.facts(kernel, arch), start);
