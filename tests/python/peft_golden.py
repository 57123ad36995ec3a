"""Logits of Hugging Face's peft for the adapters of the tests, written down once for machines without torch.

    cargo run -p tributary-testkit --example peft_cases -- FOLDER
    peft_golden.py FOLDER crates/inference/cpu/testdata/peft.json

Every case is a tiny model and adapters with weights. peft runs them unmerged, all active at once, each scaled by its weight as
`scale_layer` does; a DoRA adapter is merged too, and both ways have to agree. Needs torch, transformers, peft, safetensors.
"""

import copy
import json
import sys
from pathlib import Path

import peft
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

POSITIONS = (0, 7, 15, 23)


def main(folder: str, out: str) -> int:
    root = Path(folder)
    cases = json.loads((root / "cases.json").read_text())
    tokens = torch.tensor([cases["tokens"]])
    found = []
    for case in cases["cases"]:
        model = base(root / case["model"])
        plain = logits(model, tokens)
        for index, adapter in enumerate(case["adapters"]):
            name, path = f"a{index}", str(root / adapter["folder"])
            if index == 0:
                model = PeftModel.from_pretrained(model, path, adapter_name=name)
            else:
                model.load_adapter(path, adapter_name=name)
        names = [f"a{index}" for index in range(len(case["adapters"]))]
        model.base_model.set_adapter(names)
        for layer in model.modules():
            if isinstance(layer, LoraLayer):
                for name, adapter in zip(names, case["adapters"]):
                    if name in layer.scaling:
                        layer.scaling[name] *= adapter["weight"]
        model = model.float().eval()
        theirs = logits(model, tokens)
        merged = logits(copy.deepcopy(model).merge_and_unload(), tokens)
        error = ((merged - theirs).abs().max() / theirs.abs().max()).item()
        moved = ((plain - theirs).abs().max() / theirs.abs().max()).item()
        print(f"{case['name']:24} merged differs by {error:.1e}, the adapters move logits by {moved:.2f}")
        if error > 1e-4 or moved < 0.05:
            return 1
        kept = [[round(value, 5) for value in theirs[position].tolist()] for position in POSITIONS]
        found.append({"name": case["name"], "hashes": [adapter["hash"] for adapter in case["adapters"]], "logits": kept})
    made = {"peft": peft.__version__, "tokens": cases["tokens"], "positions": POSITIONS, "cases": found}
    Path(out).write_text(json.dumps(made, indent=None, separators=(",", ":")) + "\n")
    return 0


def base(folder: Path):
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model.float().eval()


def logits(model, tokens) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens).logits[0].float()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
