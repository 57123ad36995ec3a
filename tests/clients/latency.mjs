// From sending a signed transaction to reading its receipt, on two nodes in turn.
//   node latency.mjs NAME=URL NAME=URL [COUNT]
// Each node makes a block for each transaction. The transactions are signed beforehand; the receipt is asked for as soon as the
// hash is there, and again until it is.
import { mnemonicToAccount } from "viem/accounts";

const nodes = process.argv.slice(2).filter((it) => it.includes("=")).map((it) => ({ name: it.slice(0, it.indexOf("=")), url: it.slice(it.indexOf("=") + 1) }));
const count = Number(process.argv.slice(2).find((it) => /^\d+$/.test(it)) ?? 300);
const account = mnemonicToAccount("test test test test test test test test test test test junk", { addressIndex: 3 });

let id = 0;
async function call(node, method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params });
  const response = await fetch(node.url, { method: "POST", body, headers: { "content-type": "application/json" } });
  const { result, error } = await response.json();
  if (error) throw new Error(`${node.name} ${method}: ${error.message}`);
  return result;
}

for (const node of nodes) {
  const chainId = Number(await call(node, "eth_chainId"));
  const nonce = Number(await call(node, "eth_getTransactionCount", account.address, "latest"));
  const transfer = (n) => account.signTransaction({
    type: "eip1559", chainId, nonce: nonce + n, gas: 21_000n, to: "0x00000000000000000000000000000000000000aa", value: 1n,
    maxFeePerGas: 10_000_000_000n, maxPriorityFeePerGas: 1n,
  });
  node.raw = await Promise.all(Array.from({ length: count }, (_, n) => transfer(n)));
  node.taken = [];
}

async function once(node, raw) {
  const start = performance.now();
  const hash = await call(node, "eth_sendRawTransaction", raw);
  let receipt = null;
  while (!receipt) receipt = await call(node, "eth_getTransactionReceipt", hash);
  if (receipt.status !== "0x1") throw new Error(`${node.name}: ${hash} failed`);
  return performance.now() - start;
}

const warm = 20;
for (let n = 0; n < count; n++) {
  for (const node of nodes) {
    const taken = await once(node, node.raw[n]);
    if (n >= warm) node.taken.push(taken);
  }
}
for (const node of nodes) {
  node.taken.sort((a, b) => a - b);
  const at = (part) => node.taken[Math.min(node.taken.length - 1, Math.floor(node.taken.length * part))].toFixed(2);
  node.p50 = Number(at(0.5));
  console.log(`${node.name.padEnd(12)} send → receipt, ${node.taken.length} transfers: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}
console.log(`${nodes[0].name} / ${nodes[1].name}: ${(nodes[0].p50 / nodes[1].p50).toFixed(2)} of its time at p50`);
