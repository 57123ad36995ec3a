#!/usr/bin/env python3
"""torch and peft on the shapes of `make bench-gpu`: decode steps in bf16, and steps whose rows have adapters of their own.

    gpu.py [--device cuda] [--shapes 1b 8b] [--rows 1 16 64] [--compile]

Weights are random and made on the device. Each row has 128 positions behind it, as in our steps; its cache grows by one a step. Needs a GPU: it
fails where there is none. `--device cpu --shapes tiny` shows that the script itself works, and its times mean nothing.
"""

import argparse
import sys
import time

try:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
except ImportError as missing:
    sys.exit(f"torch, transformers and peft are needed, tests/bench/gpu-venv.sh installs them: {missing}")

BEHIND, RANK, ADAPTERS = 128, 16, 64
SHAPES = {
    "tiny": dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256),
    "1b": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256),
    "8b": dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256),
}
KINDS = {"q, v": ["q_proj", "v_proj"], "all-linear": "all-linear"}


def build(shape: str, device: str) -> LlamaForCausalLM:
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=True, dtype=torch.bfloat16)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    return model.eval()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def step(model, vocab: int, rows: int, steps: int, device: str, **more) -> float:
    """Seconds of a decode step, in the mean, after some to warm up."""
    cache = DynamicCache()
    model(torch.randint(vocab, (rows, BEHIND), device=device), past_key_values=cache, use_cache=True, logits_to_keep=1, **more)
    token = torch.ones((rows, 1), dtype=torch.long, device=device)
    for _ in range(3):
        model(token, past_key_values=cache, use_cache=True, **more)
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        model(token, past_key_values=cache, use_cache=True, **more)
    wait(device)
    return (time.perf_counter() - start) / steps


def report(what: str, rows: int, seconds: float) -> None:
    print(f"{what}: {seconds * 1e3:.3f} ms a step, {rows / seconds:.0f} tok/s", flush=True)


def adapters(model, name: str, vocab: int, kind: str, args) -> None:
    """As many adapters as rows, one each; then all rows with the first."""
    lora = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=KINDS[kind], task_type="CAUSAL_LM", init_lora_weights=False)
    rows = max(args.rows)
    count = min(rows, ADAPTERS)
    with_adapters = get_peft_model(model, lora, adapter_name="a0").eval()
    for index in range(1, count):
        with_adapters.add_adapter(f"a{index}", lora)
    # Adapters are made beside the model, and in f32.
    with_adapters = with_adapters.to(args.device, torch.bfloat16).eval()
    names = [f"a{index % count}" for index in range(rows)]
    report(f"{name}, {rows} streams, {count} adapters r{RANK} {kind}", rows, step(with_adapters, vocab, rows, args.steps, args.device, adapter_names=names))
    report(f"{name}, {rows} streams, 1 adapter r{RANK} {kind}", rows, step(with_adapters, vocab, rows, args.steps, args.device))
    with_adapters.unload()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shapes", nargs="+", default=["1b", "8b"], choices=SHAPES)
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--compile", action="store_true", help="torch.compile for the steps without adapters")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU that torch can use, so nothing was measured")
    for shape in args.shapes:
        model = build(shape, args.device)
        vocab, name = SHAPES[shape]["vocab_size"], f"torch {torch.__version__}, {shape} bf16"
        plain = torch.compile(model, mode="reduce-overhead") if args.compile else model
        for rows in args.rows:
            report(f"{name}, {rows} streams", rows, step(plain, vocab, rows, args.steps, args.device))
        for kind in KINDS:
            adapters(model, name, vocab, kind, args)
        del model, plain
        if args.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
