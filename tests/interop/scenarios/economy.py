"""The main job on a chain that op-node sequences: `tributary demo`, and its batches final on L1."""

import json
import subprocess

from devnet.genesis import ROOT, Schedule, economy_genesis
from devnet.process import free_port
from devnet.stack import Devnet

# Every fork is active from genesis on, as the dev chain's genesis says.
ALL = Schedule({})


def run(devnet: Devnet):
    devnet.start_l1(ALL, make=economy_genesis)
    api = free_port()
    worker = ["--api", f"--api.port={api}", "--da=memstore", f"--da.memstore-port={free_port()}", "--batch.interval=6s"]
    sequencer = devnet.start_tributary("sequencer", extra=worker)
    node = devnet.start_op_node(sequencer, sequencer=True)
    devnet.start_batcher(sequencer, node)
    devnet.wait_for("blocks", lambda: sequencer.rpc.number() >= 2, 60)

    report = demo(devnet, sequencer.url, f"http://127.0.0.1:{api}")
    failed = [check for check in report["checks"] if not check["ok"]]
    assert report["checks"] and not failed, failed
    batches = report["batches"]
    assert batches, "no batch"

    receipts = [sequencer.rpc.receipt(batch["tx"]) for batch in batches]
    newest = max(int(receipt["blockNumber"], 16) for receipt in receipts)
    devnet.wait_for(f"block {newest} is final on L1", lambda: sequencer.rpc.number("finalized") >= newest, 240)
    for batch, receipt in zip(batches, receipts):
        again = sequencer.rpc.receipt(batch["tx"])
        assert again["blockHash"] == receipt["blockHash"] and again["status"] == "0x1", batch
    devnet.check()
    records = sum(batch["records"] for batch in batches)
    print(f"  {len(report['answers'])} answers, {records} records in {len(batches)} batches, final at L2 block {newest}")


def demo(devnet: Devnet, rpc: str, api: str) -> dict:
    command = [
        devnet.tributary, "demo", "--rpc", rpc, "--api", api, "--json", "--adapters", ROOT / "adapters",
        "--store", devnet.folder / "documents", "--patience", "300s",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3_000:]
    return json.loads(result.stdout)
