#!/usr/bin/env python3
"""Tokens a second of this project and of llama.cpp, in turn, on the same threads and the same file; and llama.cpp on its fastest 4-bit file."""

import argparse
import ctypes
import pathlib
import re
import statistics
import subprocess
import time

import llama_cpp

PREFILL, DECODE = 512, 64
LINES = {"decode": re.compile(r"^decode, 1 stream: +([\d.]+) tok/s"), "prefill": re.compile(r"^prefill, 512 tokens: +([\d.]+) tok/s")}


def ours(bench: pathlib.Path, threads: int) -> dict:
    text = subprocess.run([bench, str(threads)], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        for name, pattern in LINES.items():
            if match := pattern.match(line):
                found[name] = float(match[1])
    return found


class Llama:
    """llama.cpp by its C interface: no sampling, no Python between the tokens but one call each."""

    def __init__(self, path: pathlib.Path, threads: int):
        llama_cpp.llama_log_set(quiet, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 1024
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)

    def feed(self, tokens: list) -> float:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        start = time.perf_counter()
        assert llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens))) == 0
        llama_cpp.llama_synchronize(self.context)
        return time.perf_counter() - start

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def measure(self) -> dict:
        tokens = [100 + 7 * n % 40_000 for n in range(PREFILL)]
        prefills, decodes = [], []
        for _ in range(5):
            self.forget()
            prefills.append(PREFILL / self.feed(tokens))
            self.forget()
            self.feed(tokens[:64])
            decodes.append(DECODE / sum(self.feed([token]) for token in tokens[:DECODE]))
        return {"prefill": statistics.median(prefills), "decode": statistics.median(decodes)}


@llama_cpp.llama_log_callback
def quiet(*_):
    pass


def requantized(model: pathlib.Path) -> pathlib.Path:
    """The same weights in Q4_0, the format that llama.cpp is fastest with."""
    path = pathlib.Path("/tmp") / (model.stem.rsplit(".", 1)[0] + ".requantized-Q4_0.gguf")
    if not path.exists():
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, True
        assert llama_cpp.llama_model_quantize(str(model).encode(), str(path).encode(), ctypes.byref(params)) == 0
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--bench", type=pathlib.Path, required=True, help="the built throughput bench of tributary-cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    peers = {"llama.cpp, same file": Llama(args.model, args.threads), "llama.cpp, Q4_0": Llama(requantized(args.model), args.threads)}
    found = {name: [] for name in ("tributary", *peers)}
    for _ in range(args.rounds):
        found["tributary"].append(ours(args.bench, args.threads))
        for name, peer in peers.items():
            found[name].append(peer.measure())
    for what in ("decode", "prefill"):
        rates = {name: statistics.median(run[what] for run in runs) for name, runs in found.items()}
        for name, rate in rates.items():
            ratio = "" if name == "tributary" else f"  tributary is {rates['tributary'] / rate:.2f} ×"
            print(f"{what:8} {name:22} {rate:8.1f} tok/s{ratio}")


if __name__ == "__main__":
    main()
