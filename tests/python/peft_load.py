"""Loads an adapter folder with Hugging Face's peft and compares its logits with those of the trainer.

    peft_load.py MODEL.gguf ADAPTER_FOLDER PROBE.json

PROBE.json is written by `cargo run -p tributary-train --example probe`: token ids of a few chats, and for each position of
the answers the logits that the trainer computes in float, the adapter as it lies in the folder. The model is the same GGUF
file, dequantised by transformers, so that nothing is shared but the two files. Needs torch, transformers, peft, gguf.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4  # of the largest logit: float32 sums in another order


def main(model_file: str, adapter: str, probe_file: str) -> int:
    path = Path(model_file)
    base = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    base.eval()
    probe = json.loads(Path(probe_file).read_text())
    plain = [logits_of(base, case) for case in probe["cases"]]
    model = PeftModel.from_pretrained(base, adapter).float().eval()
    trained = sum(parameter.numel() for name, parameter in model.named_parameters() if "lora_" in name)
    print(f"{adapter}: {trained} adapter values loaded, rank {model.peft_config['default'].r}")
    worst = 0.0
    for case, without in zip(probe["cases"], plain):
        ours, theirs = torch.tensor(case["logits"]), logits_of(model, case)
        scale = theirs.abs().max()
        error = ((ours - theirs).abs().max() / scale).item()
        moved = ((without - theirs).abs().max() / scale).item()
        same = (ours.argmax(-1) == theirs.argmax(-1)).all().item()
        print(f"{case['headword']:24} error {error:.2e}  adapter moves logits by {moved:.2f}  same choices: {same}")
        worst = max(worst, error)
        if not same or moved < 0.05:
            return 1
    print(f"largest relative error {worst:.2e}, allowed {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


def logits_of(model, case) -> torch.Tensor:
    with torch.no_grad():
        logits = model(torch.tensor([case["tokens"]])).logits[0]
    return logits[case["positions"]][:, : len(case["logits"][0])].float()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
