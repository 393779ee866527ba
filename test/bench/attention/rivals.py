"""The rivals' half of the bench of attention: cuDNN, FlashAttention-2 and FlexAttention through PyTorch.

    npm run bench -- works works.json          # in a bundle it lies beside this file
    python3 rivals.py --works works.json --json rivals.json --only causal
    npm run bench -- compare ours.json rivals.json

It times what attention.bench.ts times in the same way, and writes the same JSON (report.ts). A rival that
fails, or has no form for a work, is reported as such. Lists of blocks are drawn anew, by the same law.
"""

import argparse
import datetime
import json
import math
import os
import random
import sys
import time

RIVALS = ["cuDNN", "FlashAttention-2", "FlexAttention"]


def leave(what, code=2):
    """One line; 2 is misuse, as of the command."""
    print(f"rivals.py: {what}", file=sys.stderr)
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        leave(f"{message}; --help lists the options")


def count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)


def positive(text):
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return float(text)


def arguments():
    works = os.path.join(os.path.dirname(os.path.abspath(__file__)), "works.json")
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, usual = parser.add_argument, "(default: %(default)s)"
    add("--works", default=works, help=f"what the bench 'works' has written {usual}")
    add("--json", help="where the results are written, work after work")
    add("--only", action="extend", nargs="+", default=[], help="works with one of these texts in their name")
    add("--rival", action="extend", nargs="+", default=[], help="these alone", choices=RIVALS)
    add("--quick", action="store_true", help="the short works")
    add("--rounds", type=count, default=7, help=f"how often each is timed; medians count {usual}")
    add("--round-ms", type=positive, default=400, help=f"milliseconds of calls that make a round {usual}")
    add("--device", default="cuda", help=f"of PyTorch: cuda, cuda:1, cpu {usual}")
    return parser.parse_args()


# Before PyTorch, which --help does not need.
ARGS = arguments() if __name__ == "__main__" else None
try:
    import torch
    import torch.nn.functional as functional
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
except ImportError as error:
    leave(f"{error}: it needs PyTorch, pip install torch", 1)

SHORT = 16 * 1024
LONG_MS, FEW_ROUNDS = 1000, 3  # calls longer than this are timed in fewer rounds
FLEX_LENGTH = 128 * 1024  # beyond it a call takes many seconds, and nothing is left to learn
GRAIN = 64  # of vertical-slash
ROWS_CHECKED = 12
OPERATIONS = {(8, 0): 2048, (9, 0): 4096}  # of the tensor cores of one multiprocessor in a cycle
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MOST_ERROR = {"bf16": 1e-2, "fp16": 2e-3}


# ---- what the works mean ----


def causal(b, h, q, k):
    return k <= q


def mask_of(work, device):
    """The mask of a work as FlexAttention takes it, and whether it differs from head to head."""
    subject, params = work["subject"], work["params"]
    if subject in ("causal", "alibi", "soft-cap"):
        return causal, False
    if subject == "full":
        return None, False
    if subject == "sliding-window":
        window = params["window"]
        return lambda b, h, q, k: (k <= q) & (q - k < window), False
    if subject == "a-shape":
        sinks, window = params["sinks"], params["window"]
        return lambda b, h, q, k: (k <= q) & ((k < sinks) | (q - k < window)), False
    if subject == "documents":
        lengths = torch.tensor(work["drawn"], device=device)
        doc = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
        return lambda b, h, q, k: (k <= q) & (doc[q] == doc[k]), False
    if subject == "vertical-slash":
        columns, distances = vertical_slash(work, device)

        def mask(b, h, q, k):
            distance = (q // GRAIN + 1) * GRAIN - 1 - k
            return (k <= q) & (columns[h, k] | distances[h, distance.clamp(min=0)])

        return mask, True
    raise NotImplementedError(f"no mask for {subject}")


def vertical_slash(work, device):
    heads, length = work["heads"], work["length"]
    columns = torch.zeros(heads, length, dtype=torch.bool)
    distances = torch.zeros(heads, length + GRAIN, dtype=torch.bool)
    for head, drawn in enumerate(work["drawn"]):
        columns[head, drawn["columns"]] = True
        for first, last in drawn["runs"]:
            distances[head, first : last + GRAIN - 1] = True
    return columns.to(device), distances.to(device)


def score_of(work, device):
    if work["subject"] == "alibi":
        slopes = torch.tensor(work["drawn"], device=device)
        return lambda s, b, h, q, k: s - slopes[h] * (q - k)
    if work["subject"] == "soft-cap":
        cap, times = work["params"]["cap"], work["params"]["times"]
        return lambda s, b, h, q, k: cap * torch.tanh(times * s / cap)
    return None


def drawn_blocks(work, device):
    """[heads, rows, columns]: the diagonal blocks, and as many before them as draws.ts says, at random."""
    params = work["params"]
    rows = work["length"] // params["block"]
    row = torch.arange(rows, device=device)
    if "blocks" in params:
        wanted = (row + 1).clamp(max=params["blocks"])
    else:
        wanted = 1 + torch.floor(params["percent"] / 100 * row + 0.5).long()

    def best(weights, count):
        """The `count[row]` largest of each row."""
        order = weights.argsort(dim=-1, descending=True)
        rank = torch.empty_like(order).scatter_(-1, order, row.expand_as(order))
        return rank < count[:, None]

    member = torch.zeros(work["heads"], rows, rows, dtype=torch.bool, device=device)
    for head in member:
        earlier = row[None] < row[:, None]
        weights = torch.where(earlier, torch.rand(rows, rows, device=device), -1.0)
        own = best(weights, wanted - 1)
        if params["shared"] > 0:
            # What an odd row may take: the row before it without its diagonal block.
            above = own.roll(1, 0) & (row % 2 == 1)[:, None]
            take = (params["shared"] * wanted).long().minimum(wanted - 1)
            taken = best(torch.where(above, torch.rand(rows, rows, device=device), -1.0), take) & above
            own = best(weights + 2.0 * taken, wanted - 1)
        head |= own | torch.eye(rows, dtype=torch.bool, device=device)
    return member


def block_mask_of_lists(member, work):
    """Diagonal blocks are masked, all others are whole."""
    block, length = work["params"]["block"], work["length"]
    heads, rows, _ = member.shape
    diagonal = torch.arange(rows, dtype=torch.int32, device=member.device)
    partial = torch.zeros(1, heads, rows, rows, dtype=torch.int32, device=member.device)
    partial[..., 0] = diagonal
    whole = member & ~torch.eye(rows, dtype=torch.bool, device=member.device)
    # Stable: members first, in ascending order.
    order = whole.int().argsort(dim=-1, descending=True, stable=True).int()
    return BlockMask.from_kv_blocks(
        torch.ones(1, heads, rows, dtype=torch.int32, device=member.device),
        partial,
        whole.sum(-1, dtype=torch.int32)[None],
        order[None],
        BLOCK_SIZE=block,
        mask_mod=causal,
        seq_lengths=(length, length),
        compute_q_blocks=False,
    )


# ---- the rivals ----


class Rival:
    """A call, what it took to prepare, and how its pairs are masked and scored."""

    def __init__(self, call, mask, score=None, preparation_ms=None):
        self.call, self.mask, self.score, self.preparation_ms = call, mask, score, preparation_ms


def through_sdpa(backend):
    def make(work, q, k, v):
        mask, _ = mask_of(work, q.device)
        given = dict(is_causal=mask is not None, enable_gqa=work["heads"] != work["kvHeads"])

        def call():
            with sdpa_kernel(backend):
                return functional.scaled_dot_product_attention(q, k, v, **given)

        return Rival(call, mask)

    return make


def through_flex(work, q, k, v):
    device, length = q.device, work["length"]
    torch._dynamo.reset()
    flex = torch.compile(flex_attention, dynamic=False)
    options, preparation_ms = {}, None
    if work["subject"] == "block-lists":
        member, block = drawn_blocks(work, device), work["params"]["block"]
        block_mask = block_mask_of_lists(member, work)
        mask = lambda b, h, q, k: (k <= q) & member[h, q // block, k // block]
        if block < 128 and device.type == "cuda":
            options = {"BLOCK_M": block, "BLOCK_N": block}
    else:
        mask, differs = mask_of(work, device)
        block_mask = None
        if mask is not None:
            heads = work["heads"] if differs else None
            create = torch.compile(create_block_mask)
            times = []
            for _ in range(5):
                synchronize(device)
                start = time.perf_counter()
                block_mask = create(mask, None, heads, length, length, device=device)
                synchronize(device)
                times.append(1000 * (time.perf_counter() - start))
            preparation_ms = sorted(times[2:])[1]  # the first ones compile
    score = score_of(work, device)
    given = dict(score_mod=score, block_mask=block_mask, enable_gqa=work["heads"] != work["kvHeads"])
    if options:
        given["kernel_options"] = options
    return Rival(lambda: flex(q, k, v, **given), mask, score, preparation_ms)


def rivals_of(work):
    rivals = {}
    if work["subject"] in ("causal", "full"):
        rivals["cuDNN"] = through_sdpa(SDPBackend.CUDNN_ATTENTION)
        rivals["FlashAttention-2"] = through_sdpa(SDPBackend.FLASH_ATTENTION)
    # No rival stands in for what is dropped, or chooses keys for 32 queries of a group of heads.
    if work["length"] <= FLEX_LENGTH and work["subject"] != "flash-prefill":
        rivals["FlexAttention"] = through_flex
    return rivals


# ---- checking and timing ----


def error_of(work, rival, out, q, k, v):
    """Relative error of some rows, each of some head, against float32."""
    device, length, group = q.device, work["length"], work["heads"] // work["kvHeads"]
    keys = torch.arange(length, device=device)
    off = norm = 0.0
    for i in range(ROWS_CHECKED):
        row = [0, length - 1][i] if i < 2 else int(torch.randint(length, ()))
        head = torch.randint(work["heads"], (), device=device)
        place, batch = torch.tensor(row, device=device), torch.zeros((), dtype=torch.long, device=device)
        scores = k[0, head // group].float() @ q[0, head, row].float() / math.sqrt(work["headDim"])
        if rival.score:
            scores = rival.score(scores, batch, head, place, keys)
        if rival.mask:
            scores = scores.masked_fill(~rival.mask(batch, head, place, keys), -math.inf)
        right = torch.softmax(scores, -1) @ v[0, head // group].float()
        off += (out[0, head, row].float() - right).square().sum().item()
        norm += right.square().sum().item()
    return math.sqrt(off / norm)


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def clock_kernel():
    """Cycles and nanoseconds of each multiprocessor, into int64 [sm, 2]."""
    import triton
    import triton.language as tl

    @triton.jit
    def read(out):
        sm = tl.extra.cuda.smid()
        cycles = tl.inline_asm_elementwise(
            "mov.u64 $0, %clock64;", "=l,r", [tl.program_id(0)], dtype=tl.int64, is_pure=False, pack=1
        )
        nanoseconds = tl.extra.cuda.globaltimer()
        tl.store(out + 2 * sm, cycles)
        tl.store(out + 2 * sm + 1, nanoseconds)

    return read


class Clock:
    """The mean clock of the multiprocessors between two readings."""

    def __init__(self):
        self.read = clock_kernel()
        # Some programs for each multiprocessor: the last one there leaves its reading.
        self.programs = 4 * torch.cuda.get_device_properties(0).multi_processor_count
        self.readings = torch.zeros(2, 1024, 2, dtype=torch.int64, device="cuda")
        self.mark(0), self.mark(1), self.megahertz()

    def mark(self, place):
        self.readings[place].zero_()
        self.read[(self.programs,)](self.readings[place], num_warps=1)

    def megahertz(self):
        before, after = self.readings.cpu()
        cycles, nanoseconds = (after - before).double().unbind(-1)
        there = (before[:, 1] > 0) & (nanoseconds > 0)
        return (1000 * cycles / nanoseconds)[there].median().item()


def clock_or_none(device):
    if device.type != "cuda":
        return None
    try:
        return Clock()
    except Exception as error:
        print(f"no clock: {reason(error)}")
        return None


def milliseconds(call, calls, device, clock):
    """Of one call, and the clock while they lasted."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return 1000 * (time.perf_counter() - start) / calls, None
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if clock:
        clock.mark(0)
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    if clock:
        clock.mark(1)
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / calls, clock.megahertz() if clock else None


def time_rounds(rivals, results, args, device, clock):
    """Round after round, each rival in turn, in another order each time; what fails is out of the later ones."""
    counts, rounds = {}, {}
    for name, rival in rivals.items():
        ms, _ = milliseconds(rival.call, 1, device, clock)
        counts[name] = max(1, math.ceil(args.round_ms / ms))
        rounds[name] = min(FEW_ROUNDS, args.rounds) if ms > LONG_MS else args.rounds
    for number in range(args.rounds):
        for name, rival in random.Random(number).sample(list(rivals.items()), len(rivals)):
            if number >= rounds[name]:
                continue
            for _ in range(counts[name] // 4):
                rival.call()
            ms, megahertz = milliseconds(rival.call, counts[name], device, clock)
            results[name]["ms"].append(ms)
            if megahertz is not None:
                results[name]["megahertz"].append(megahertz)


def reason(error):
    """The first line that says something."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def run_work(work, args, device, clock):
    rivals = {name: make for name, make in rivals_of(work).items() if not args.rival or name in args.rival}
    if not rivals:
        return []
    shape = lambda heads: (1, heads, work["length"], work["headDim"])
    make = lambda heads: torch.randn(shape(heads), device=device, dtype=DTYPES[work["dtype"]])
    q, k, v = make(work["heads"]), make(work["kvHeads"]), make(work["kvHeads"])
    results, ready = {}, {}
    for name, prepare in rivals.items():
        result = dict(work=work["name"], contender=name, pairs=work["pairs"], headDim=work["headDim"])
        result |= dict(ms=[], megahertz=[], error=None, preparationMs=None, failure=None)
        results[name] = result
        try:
            start = time.perf_counter()
            rival = prepare(work, q, k, v)
            result["preparationMs"] = rival.preparation_ms
            out = rival.call()
            synchronize(device)
            # Compilers may take minutes: who waits is told what for.
            print(f"{work['name']} {name}: ready in {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
            error = error_of(work, rival, out, q, k, v)
            result["error"] = dict(out=error, lse=None)
            if not error <= MOST_ERROR[work["dtype"]]:
                result["failure"] = "the result is wrong"
            ready[name] = rival
        except Exception as error:
            result["failure"] = reason(error)
    try:
        time_rounds(ready, results, args, device, clock)
    except Exception as error:
        for name in ready:
            results[name]["failure"] = results[name]["failure"] or reason(error)
    return list(results.values())


# ---- the program ----


def report(results, device):
    versions = {"torch": torch.__version__}
    facts = {"name": "cpu", "operationsPerCycle": None}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        operations = OPERATIONS.get((properties.major, properties.minor))
        versions |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
        facts["name"] = properties.name
        facts["operationsPerCycle"] = operations and operations * properties.multi_processor_count
    return dict(device=facts, versions=versions, date=str(datetime.date.today()), results=results)


def line(result):
    head = f"{result['work']:32s} {result['contender']:17s}"
    if not result["ms"]:
        return f"{head} {result['failure']}"
    ms = sorted(result["ms"])[len(result["ms"]) // 2]
    rate = 4 * result["headDim"] * result["pairs"] / ms * 1e-9
    clocks = sorted(result["megahertz"])
    clock = f" {clocks[len(clocks) // 2]:5.0f} MHz" if clocks else ""
    prepared = result["preparationMs"]
    mask = "" if prepared is None else f" mask {prepared:.1f} ms"
    return f"{head} {ms:9.3f} ms {rate:6.1f} TFLOP/s{clock}{mask} {result['failure'] or ''}"


def works_asked(args):
    try:
        with open(args.works) as file:
            works = json.load(file)
    except (OSError, ValueError) as error:
        leave(f"{args.works} holds no works ({error}); npm run bench -- works FILE writes them", 1)
    for text in args.only:
        if not any(text in work["name"] for work in works):
            leave(f"no work has '{text}' in its name; there are: {'; '.join(work['name'] for work in works)}")
    named = [work for work in works if not args.only or any(text in work["name"] for text in args.only)]
    return [work for work in named if not args.quick or work["length"] <= SHORT]


def device_asked(name):
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        leave(f"no device '{name}': {reason(error)}", 1)


def main(args):
    works, device = works_asked(args), device_asked(args.device)
    torch.manual_seed(0)
    clock = clock_or_none(device)
    results = []
    # Shortest first, as in our half.
    for work in sorted(works, key=lambda work: work["length"]):
        for result in run_work(work, args, device, clock):
            results.append(result)
            print(line(result), flush=True)
        if args.json:
            with open(args.json, "w") as file:
                json.dump(report(results, device), file, indent=1)
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main(ARGS)
