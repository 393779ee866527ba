"""Times the kernels that emit.ts wrote beside PyTorch's attention, in interleaved rounds on one GPU.

python3 run.py <folder>: each output is first compared with float32 attention on some rows; then the median
of seven rounds. Dense causal work is timed against SDPBackend.FLASH_ATTENTION (FlashAttention-2).
"""
import ctypes
import json
import math
import subprocess
import sys

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

ROUNDS = 7
SHARED_MEMORY = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
driver = ctypes.CDLL("libcuda.so.1")


def checked(code, call):
    if code:
        raise RuntimeError(f"{call} failed with {code}")


def kernel_of(path, shared):
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    checked(driver.cuModuleLoad(ctypes.byref(module), path.encode()), "cuModuleLoad")
    checked(driver.cuModuleGetFunction(ctypes.byref(function), module, b"attention"), "cuModuleGetFunction")
    checked(driver.cuFuncSetAttribute(function, SHARED_MEMORY, shared), "cuFuncSetAttribute")
    return function


def ours(folder, work, q, k, v):
    """A function that launches our kernel, its output and its LSE."""
    out = torch.full_like(q, math.nan)
    lse = torch.empty(work["heads"], work["length"], device="cuda")
    error = torch.full((1,), -1, dtype=torch.int64, device="cuda")
    params = torch.tensor(work["params"] or [0], dtype=torch.int32, device="cuda")
    args = bytearray.fromhex(work["args"])
    buffers = dict(q=q, k=k, v=v, out=out, lse=lse, error=error, params=params)
    for field, at in work["offsets"].items():
        args[at : at + 8] = buffers[field].data_ptr().to_bytes(8, "little")
    raw = (ctypes.c_char * len(args)).from_buffer(args)
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(raw))
    function = kernel_of(f"{folder}/{work['name']}.cubin", work["sharedBytes"])

    def launch(keep=(raw, buffers)):
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        grid, threads, shared = work["grid"], work["threads"], work["sharedBytes"]
        checked(driver.cuLaunchKernel(function, grid, 1, 1, threads, 1, 1, shared, stream, pointers, None), "cuLaunchKernel")

    return launch, out, lse


def error_of(work, q, k, v, out):
    """Relative error of some rows against float32 attention."""
    n = work["length"]
    rows = torch.tensor([0, 1, 63, 64, n // 4, n // 2 + 1, n - 2, n - 1], device="cuda")
    keys = torch.arange(n, device="cuda")[None]
    mask = keys <= rows[:, None]
    if work["pattern"] == "a-shape":
        sinks, window = work["params"]
        mask &= (keys < sinks) | (rows[:, None] - keys < window)
    scores = q[0][:, rows].float() @ k[0].float().transpose(1, 2) / math.sqrt(work["headDim"])
    expected = torch.softmax(scores.masked_fill(~mask, -math.inf), -1) @ v[0].float()
    return ((out[0][:, rows].float() - expected).norm() / expected.norm()).item()


def flash_attention(q, k, v):
    def launch():
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return launch


def milliseconds(launch, repeats):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        launch()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / repeats


def main(folder):
    torch.cuda.init()
    torch.manual_seed(0)
    for work in json.load(open(f"{folder}/works.json")):
        shape = (1, work["heads"], work["length"], work["headDim"])
        q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
        launch, out, _ = ours(folder, work, q, k, v)
        rivals = {"warploom": launch}
        if work["pattern"] == "causal":
            rivals["FlashAttention-2"] = flash_attention(q, k, v)
        for one in rivals.values():
            one()
        torch.cuda.synchronize()
        error = error_of(work, q, k, v, out)
        repeats = max(2, int(4e4 / work["length"]))
        rounds = {name: [] for name in rivals}
        for _ in range(ROUNDS):
            for name, one in rivals.items():
                rounds[name].append(milliseconds(one, repeats))
        times = {name: sorted(all)[ROUNDS // 2] for name, all in rounds.items()}
        pairs = work["length"] * (work["length"] + 1) / 2 * work["heads"]
        rate = 4 * work["headDim"] * pairs * 1e-9
        line = f"{work['name']:20s} tile {work['tile']:8s} error {error:.1e}  warploom {times['warploom']:7.3f} ms"
        if "FlashAttention-2" in times:
            ratio = times["FlashAttention-2"] / times["warploom"]
            line += f" {rate / times['warploom']:6.1f} TFLOP/s, FlashAttention-2 {rate / times['FlashAttention-2']:6.1f}, ratio {ratio:.3f}"
        print(line, flush=True)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,power.draw", "--format=csv,noheader"]
    print(subprocess.run(query, capture_output=True, text=True).stdout.strip(), f"torch {torch.__version__}")


main(sys.argv[1])
