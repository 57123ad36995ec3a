#!/usr/bin/env python3
"""llama.cpp by its C interface, one measurement a line: `CASE FILE` in, tokens a second out.

FILE is `same`, the file that Tributary serves, or `best`, the same weights in Q4_0, the four-bit format llama.cpp is fastest with. No sampling, and of
Python one call a step. Adapters: llama.cpp batches only rows of one set of adapters, so each stream decodes by itself, and no time is
charged for the change from one to the next."""

import argparse
import ctypes
import pathlib
import random
import struct
import sys
import time

import llama_cpp

PROMPT, DECODE, STREAMS, PREFILL, RANK = 64, 64, 16, 512, 16


class Llama:
    def __init__(self, path: pathlib.Path, threads: int, streams: int):
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = max(1024, streams * 256)
        params.n_batch = params.n_ubatch = 1024
        params.n_seq_max = streams
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.batch = llama_cpp.llama_batch_init(1024, 0, 1)
        self.adapters = []

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def run(self, rows: list) -> float:
        """Rows are (sequence, position, token, wanted); seconds."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for at, (sequence, position, token, wanted) in enumerate(rows):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, position, 1, wanted
            batch.seq_id[at][0] = sequence
        start = time.perf_counter()
        assert llama_cpp.llama_decode(self.context, batch) == 0
        llama_cpp.llama_synchronize(self.context)
        return time.perf_counter() - start

    def prefill(self) -> float:
        self.forget()
        return PREFILL / self.run([(0, at, token(at), at == PREFILL - 1) for at in range(PREFILL)])

    def decode(self, streams: int) -> float:
        self.forget()
        for sequence in range(streams):
            self.run([(sequence, at, token(at), at == PROMPT - 1) for at in range(PROMPT)])
        steps = range(PROMPT, PROMPT + DECODE)
        return streams * DECODE / sum(self.run([(sequence, at, token(at), 1) for sequence in range(streams)]) for at in steps)

    def use(self, adapter):
        many = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        assert llama_cpp.llama_set_adapters_lora(self.context, many, 0 if adapter is None else 1, scales) == 0

    def adapted(self, files: list) -> float:
        """Every stream by itself with its adapter."""
        if not self.adapters:
            self.adapters = [llama_cpp.llama_adapter_lora_init(self.model, str(path).encode()) for path in files]
            assert all(self.adapters)
        seconds = 0
        for adapter in self.adapters:
            self.use(adapter)
            seconds += DECODE / self.decode(1)
        self.use(None)
        return len(self.adapters) * DECODE / seconds


def token(at: int) -> int:
    return 100 + 7 * at % 40_000


def requantized(model: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    path = folder / (model.stem.rsplit(".", 1)[0] + ".requantized-Q4_0.gguf")
    if not path.exists():
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, True
        making = path.with_suffix(".making")
        assert llama_cpp.llama_model_quantize(str(model).encode(), str(making).encode(), ctypes.byref(params)) == 0
        making.rename(path)
    return path


def lora(path: pathlib.Path, layers: int, sizes: dict, seed: int):
    """An adapter of every linear layer as GGUF, in half precision."""
    draw = random.Random(seed)
    noise = struct.pack("<4096e", *(draw.uniform(-0.02, 0.02) for _ in range(4096)))

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = [("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")]
    meta = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in pairs)
    meta += text("adapter.lora.alpha") + struct.pack("<If", 6, float(RANK))
    infos, data = b"", b""
    count = 0
    for layer in range(layers):
        for name, (inputs, outputs) in sizes.items():
            for part, shape in (("a", (inputs, RANK)), ("b", (RANK, outputs))):
                infos += text(f"blk.{layer}.{name}.weight.lora_{part}") + struct.pack("<IQQIQ", 2, *shape, 1, len(data))
                size = 2 * shape[0] * shape[1]
                data += (noise * (size // len(noise) + 1))[:size].ljust((size + 31) // 32 * 32, b"\0")
                count += 1
    head = struct.pack("<IIQQ", 0x46554747, 3, count, len(pairs) + 1) + meta + infos
    path.write_bytes(head.ljust((len(head) + 31) // 32 * 32, b"\0") + data)


def adapters(model, folder: pathlib.Path) -> list:
    def number(key: str) -> int:
        buffer = ctypes.create_string_buffer(64)
        assert llama_cpp.llama_model_meta_val_str(model, key.encode(), buffer, 64) > 0
        return int(buffer.value)

    hidden, wide = llama_cpp.llama_model_n_embd(model), number("llama.feed_forward_length")
    keys = hidden // llama_cpp.llama_model_n_head(model) * llama_cpp.llama_model_n_head_kv(model)
    sizes = {
        "attn_q": (hidden, hidden), "attn_k": (hidden, keys), "attn_v": (hidden, keys), "attn_output": (hidden, hidden),
        "ffn_gate": (hidden, wide), "ffn_up": (hidden, wide), "ffn_down": (wide, hidden),
    }  # fmt: skip
    found = []
    for seed in range(STREAMS):
        path = folder / f"adapter-r{RANK}-{seed}.gguf"
        if not path.exists():
            lora(path, llama_cpp.llama_model_n_layer(model), sizes, seed)
        found.append(path)
    return found


@llama_cpp.llama_log_callback
def quiet(*_):
    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where converted files are kept")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    paths = {"same": args.model, "best": requantized(args.model, args.folder)}
    alone = {name: Llama(path, args.threads, 1) for name, path in paths.items()}
    many = {name: Llama(path, args.threads, STREAMS) for name, path in paths.items()}
    cases = {
        "decode": lambda file: alone[file].decode(1),
        "prefill": lambda file: alone[file].prefill(),
        "streams": lambda file: many[file].decode(STREAMS),
        "adapters": lambda file: alone[file].adapted(adapters(alone[file].model, args.folder)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        case, file = line.split()
        print(cases[case](file), flush=True)


if __name__ == "__main__":
    main()
