"""Deposits that mint, call, create, fail and run out of gas; a withdrawal, and its proof against the header."""

from eth_account import Account
from eth_utils import keccak, to_checksum_address

from devnet.genesis import CHAIN_ID, USER_KEY, Schedule
from devnet.proof import verify_storage
from devnet.stack import Devnet
from devnet.traffic import REVERT, STORE_AND_LOG, init_code

ETHER = 10**18
MESSAGE_PASSER = "0x4200000000000000000000000000000000000016"
# keccak256("MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)")
MESSAGE_PASSED = "0x" + keccak(text="MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)").hex()


def run(devnet: Devnet):
    devnet.start_l1(Schedule({"isthmus": 0, "jovian": 0, "karst": 12}))
    client = devnet.start_tributary()
    node = devnet.start_op_node(client, sequencer=True)
    devnet.start_batcher(client, node)
    rpc, l1 = client.rpc, devnet.l1
    devnet.wait_for("Karst", lambda: rpc.number() >= 8, 60)

    def deposited(l1_receipt: dict) -> tuple[dict, dict]:
        """The deposit's transaction and receipt on L2."""
        log = next(log for log in l1_receipt["logs"] if log["address"] == l1.deposits)
        source = keccak(bytes(32) + keccak(bytes.fromhex(l1_receipt["blockHash"][2:]) + int(log["logIndex"], 16).to_bytes(32)))

        def find():
            for number in range(rpc.number(), max(rpc.number() - 12, 0), -1):
                for tx in rpc.block(number, full=True)["transactions"]:
                    if tx.get("sourceHash") == "0x" + source.hex():
                        return tx
            return None

        tx = devnet.wait_for("the deposit on L2", find, 40)
        receipt = rpc.receipt(tx["hash"])
        assert receipt["depositReceiptVersion"] == "0x1" and tx["nonce"] == receipt["depositNonce"], (tx, receipt)
        return tx, receipt

    somebody = "0x00000000000000000000000000000000000Da001"
    tx, receipt = deposited(l1.deposit(somebody, mint=3 * ETHER, value=2 * ETHER))
    assert receipt["status"] == "0x1" and int(tx["mint"], 16) == 3 * ETHER
    assert rpc.balance(somebody) == 2 * ETHER and rpc.balance(l1.rich) == ETHER

    _, receipt = deposited(l1.deposit("0x" + "00" * 20, gas=300_000, data=init_code(STORE_AND_LOG), create=True))
    contract = receipt["contractAddress"]
    assert receipt["status"] == "0x1" and rpc.call("eth_getCode", contract, "latest") == "0x" + STORE_AND_LOG.hex()

    _, receipt = deposited(l1.deposit(contract, gas=200_000, data=(77).to_bytes(32)))
    assert receipt["status"] == "0x1" and len(receipt["logs"]) == 1
    assert int(rpc.call("eth_getStorageAt", contract, "0x0", "latest"), 16) == 77

    _, receipt = deposited(l1.deposit("0x" + "00" * 20, gas=300_000, data=init_code(REVERT), create=True))
    reverter = receipt["contractAddress"]
    before, nonce = rpc.balance(l1.rich), int(receipt["depositNonce"], 16)
    _, receipt = deposited(l1.deposit(reverter, mint=ETHER, value=ETHER, gas=100_000))
    assert receipt["status"] == "0x0" and rpc.balance(l1.rich) == before + ETHER, "a failing deposit keeps what it mints"
    assert int(receipt["depositNonce"], 16) == nonce + 1

    _, receipt = deposited(l1.deposit(contract, gas=22_000, data=(78).to_bytes(32)))
    assert receipt["status"] == "0x0" and int(receipt["gasUsed"], 16) == 22_000, receipt

    withdraw(devnet, client)
    devnet.check()
    print("  mint, creation, call, revert, out of gas; a withdrawal proved")


def withdraw(devnet: Devnet, client):
    rpc, account = client.rpc, Account.from_key(USER_KEY)
    target = bytes(12) + bytes.fromhex(account.address[2:])
    selector = keccak(text="initiateWithdrawal(address,uint256,bytes)")[:4]
    data = selector + target + (100_000).to_bytes(32) + (96).to_bytes(32) + bytes(32)
    nonce = int(rpc.call("eth_getTransactionCount", account.address, "pending"), 16)
    tx = account.sign_transaction({
        "chainId": CHAIN_ID, "nonce": nonce, "to": to_checksum_address(MESSAGE_PASSER), "value": ETHER, "gas": 300_000, "data": data,
        "maxFeePerGas": 20 * 10**9, "maxPriorityFeePerGas": 10**9,
    })
    sent = rpc.call("eth_sendRawTransaction", "0x" + tx.raw_transaction.hex().removeprefix("0x"))
    receipt = devnet.wait_for("the withdrawal", lambda: rpc.receipt(sent), 30)
    assert receipt["status"] == "0x1"
    log = next(log for log in receipt["logs"] if log["topics"][0] == MESSAGE_PASSED)
    withdrawal = bytes.fromhex(log["data"][2:])[96:128]
    slot = keccak(withdrawal + bytes(32))
    block = rpc.block(receipt["blockHash"])
    proof = rpc.call("eth_getProof", MESSAGE_PASSER, ["0x" + slot.hex()], {"blockHash": block["hash"]})
    root = bytes.fromhex(block["withdrawalsRoot"][2:])
    assert proof["storageHash"] == block["withdrawalsRoot"]
    assert verify_storage(root, slot, proof["storageProof"][0]["proof"]) == 1
    # op-node asks with the bare hash.
    assert rpc.call("eth_getProof", MESSAGE_PASSER, [], block["hash"])["storageHash"] == block["withdrawalsRoot"]
