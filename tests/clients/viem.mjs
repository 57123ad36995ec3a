// A viem script as a dapp would write it: reads over HTTP, a transfer, and blocks and logs over a WebSocket.
//   node viem.mjs HTTP_URL WS_URL
import assert from "node:assert/strict";
import {
  createPublicClient, createWalletClient, defineChain, http, parseAbi, parseEther, webSocket,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";

const [httpUrl, wsUrl] = process.argv.slice(2);
const account = mnemonicToAccount("test test test test test test test test test test test junk", { addressIndex: 7 });
const receiver = "0x00000000000000000000000000000000000000aa";

const reader = createPublicClient({ transport: http(httpUrl) });
const chain = defineChain({
  id: await reader.getChainId(), name: "Tributary dev", nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 },
  rpcUrls: { default: { http: [httpUrl], webSocket: [wsUrl] } },
});
const wallet = createWalletClient({ account, chain, transport: http(httpUrl) });
const live = createPublicClient({ chain, transport: webSocket(wsUrl) });

const heads = [];
const enough = new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error("no new heads over the WebSocket within 30 s")), 30_000);
  live.watchBlocks({
    onBlock: (block) => {
      heads.push(block);
      if (heads.length >= 2) { clearTimeout(timer); resolve(); }
    },
    onError: reject,
  });
});

const before = await reader.getBalance({ address: receiver });
const value = parseEther("0.25");
const hash = await wallet.sendTransaction({ to: receiver, value });
const receipt = await live.waitForTransactionReceipt({ hash, timeout: 30_000 });
assert.equal(receipt.status, "success");
assert.equal(await reader.getBalance({ address: receiver }) - before, value);
await wallet.sendTransaction({ to: receiver, value: 1n });
await enough;
for (let i = 1; i < heads.length; i += 1) assert.equal(heads[i].parentHash, heads[i - 1].hash);

const params = await reader.readContract({
  address: "0x0000000000000000000000000000000000000a06",
  abi: parseAbi(["struct Param { bytes32 key; uint256 value; }", "function all() view returns (Param[])"]),
  functionName: "all",
});
assert.ok(params.length > 0, "Params.all() is empty");

console.log(JSON.stringify({ chainId: chain.id, hash, block: Number(receipt.blockNumber), heads: heads.length }));
process.exit(0);
