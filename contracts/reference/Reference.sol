// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IAttribution} from "../src/interfaces/IAttribution.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {AgentsStorage} from "./Agents.sol";
import {AttributionStorage} from "./Attribution.sol";
import {ParamsStorage} from "./Params.sol";
import {SettlementStorage} from "./Settlement.sol";

/// @notice `commitBatch`, `finalize` and `claim` as a contract: what the precompiles' gas and time are measured
/// against. All storage is in one place, which is kinder to Solidity than six contracts that call each other.
contract Reference is AgentsStorage, ParamsStorage, SettlementStorage, AttributionStorage {
    bytes32 private constant ALGO_ID = keccak256("tributary.trace.1");
    bytes32 private constant VOUCHER_TYPE =
        keccak256("Voucher(bytes32 channel,uint256 cumulative,bytes32 requestHash)");
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    address private constant SETTLEMENT = 0x0000000000000000000000000000000000000a04;
    uint8 private constant VALIDATOR = 1;
    uint8 private constant OPEN = 1;
    uint8 private constant CLOSED = 3;
    uint256 private constant VIRTUAL_SHARES = 1000;

    receive() external payable {}

    // What the precompiles have other functions for, as far as the measurement needs it.

    function setParam(bytes32 key, uint192 value) external {
        history[key].push(ParamAt(0, value));
    }

    function addAgent(uint64 id, address owner, address operator, uint128 stake) external {
        Agent storage agent = agents[id];
        agent.owner = owner;
        agent.registeredBlock = uint64(block.number);
        agent.operators.push(OperatorAt(uint64(block.number), operator));
        agent.assets = stake;
        agent.shares = uint128(stake * VIRTUAL_SHARES);
        positions[id][owner].shares = agent.shares;
    }

    function addChannel(bytes32 id, uint64 agentId, address signer, address payer) external payable {
        channels[id] = Channel(signer, agentId, OPEN, payer, 0, uint128(msg.value), 0);
    }

    // The functions measured.

    function commitBatch(
        IAttribution.Header calldata header,
        bytes calldata daCommitment,
        IAttribution.Debit[] calldata debits,
        bytes[] calldata signatures,
        IAttribution.Totals calldata totals
    ) external returns (bytes32 batchId) {
        _checkAgent(header);
        if (header.algoId != ALGO_ID) revert IAttribution.UnknownAlgo(header.algoId);
        if (header.nRecords == 0 || header.nRecords > 65536) {
            revert IAttribution.BadRecordCount(header.nRecords);
        }
        uint256 max = _param("maxBatchBytes");
        if (header.nBytes > max) revert IAttribution.BatchTooLarge(header.nBytes, max);
        max = _param("maxDaCommitmentBytes");
        if (daCommitment.length > max) revert IAttribution.TooLong(daCommitment.length, max);
        IAttribution.ChannelAmount[] memory debited = _take(header.agentId, debits, signatures, totals);
        batchId = keccak256(abi.encode(block.chainid, header));
        uint64 deadline = uint64(block.timestamp + _param("challengeWindow"));
        uint128 bond =
            uint128(_param("availabilityBondBase") + _param("availabilityBondPerByte") * header.nBytes);
        _store(batchId, header, totals, deadline, bond);
        Batch storage batch = batches[batchId];
        batch.daHash = keccak256(daCommitment);
        batch.debitsHash = keccak256(abi.encode(debited));
        Chain storage chain = chains[header.agentId];
        chain.lastSeq = header.seq;
        chain.lastBatch = batchId;
        batchIds[header.agentId][header.seq] = batchId;
        emit IAttribution.BatchCommitted(
            batchId, header.agentId, header.seq, header, daCommitment, debited, totals, deadline, bond
        );
    }

    function finalize(bytes32 batchId) external {
        Batch storage batch = batches[batchId];
        if (batch.seq == 0) revert IAttribution.UnknownBatch(batchId);
        Chain storage chain = chains[batch.agentId];
        if (batch.seq != chain.finalSeq + 1) revert IAttribution.OutOfOrder(chain.finalSeq + 1);
        if (block.timestamp < batch.deadline) revert IAttribution.TooEarly(batch.deadline);
        batch.isFinal = true;
        chain.finalSeq = batch.seq;
        ledgers[batch.agentId].credited += batch.model + batch.contributors;
    }

    function claim(
        uint64 agentId,
        uint64 seq,
        uint32 index,
        address account,
        uint256 cumulative,
        bytes32[] calldata proof
    ) external returns (uint128 amount) {
        if (seq == 0 || seq > chains[agentId].finalSeq) revert ISettlement.NotFinal(agentId, seq);
        bytes32 root = batches[batchIds[agentId][seq]].payoutRoot;
        bytes32 node = keccak256(bytes.concat(keccak256(abi.encode(index, account, cumulative))));
        if (proof.length != 32) revert ISettlement.BadProof();
        for (uint256 level; level < 32; level++) {
            bytes32 sibling = proof[level];
            bool right = index >> level & 1 == 1;
            assembly {
                mstore(0x00, xor(mul(xor(node, sibling), right), node))
                mstore(0x20, xor(mul(xor(node, sibling), right), sibling))
                node := keccak256(0x00, 0x40)
            }
        }
        if (node != root) revert ISettlement.BadProof();
        uint128 before = claimed[agentId][account];
        if (cumulative <= before) revert ISettlement.NothingToClaim(before);
        Ledger storage ledger = ledgers[agentId];
        if (ledger.claimed + (cumulative - before) > ledger.credited) {
            revert ISettlement.ExceedsFinal(ledger.claimed, ledger.credited);
        }
        amount = uint128(cumulative - before);
        ledger.claimed += amount;
        claimed[agentId][account] = uint128(cumulative);
        (bool paid,) = account.call{value: amount}("");
        require(paid);
        emit ISettlement.Claimed(agentId, account, seq, amount, uint128(cumulative));
    }

    function _checkAgent(IAttribution.Header calldata header) private view {
        uint64 id = header.agentId;
        Agent storage agent = agents[id];
        if (agent.owner == address(0)) revert IAttribution.UnknownAgent(id);
        address operator = _operator(agent);
        if (msg.sender != operator) revert IAttribution.NotOperator(msg.sender, operator);
        if (agent.kind == VALIDATOR) revert IAttribution.WrongKind(id, agent.kind);
        Chain storage chain = chains[id];
        bool retired = agent.retiredFrom != 0 && agent.retiredFrom <= block.number;
        if (retired || chain.voidFrom != 0) revert IAttribution.AgentRetired(id);
        Position storage held = positions[id][agent.owner];
        uint256 stake = uint256(held.shares - held.unstaking) * (uint256(agent.assets) + 1)
            / (uint256(agent.shares) + VIRTUAL_SHARES);
        uint256 required = _param("minStake");
        if (stake < required) revert IAttribution.StakeTooLow(required, stake);
        if (header.seq != chain.lastSeq + 1 || header.prevBatch != chain.lastBatch) {
            revert IAttribution.WrongParent(chain.lastSeq + 1, chain.lastBatch);
        }
    }

    function _operator(Agent storage agent) private view returns (address) {
        uint256 n = agent.operators.length;
        while (n > 0) {
            OperatorAt storage item = agent.operators[--n];
            if (item.fromBlock <= block.number) return item.operator;
        }
        return address(0);
    }

    function _param(bytes32 key) private view returns (uint256) {
        ParamAt[] storage list = history[key];
        uint256 n = list.length;
        while (n > 0) {
            ParamAt storage item = list[--n];
            if (item.fromBlock <= block.number) return item.value;
        }
        return 0;
    }

    function _take(
        uint64 agentId,
        IAttribution.Debit[] calldata debits,
        bytes[] calldata signatures,
        IAttribution.Totals calldata totals
    ) private returns (IAttribution.ChannelAmount[] memory debited) {
        uint256 parts = uint256(totals.platform) + totals.model + totals.stakers + totals.contributors
            + totals.treasury;
        if (parts != totals.fees) revert IAttribution.TotalsMismatch(parts, totals.fees);
        uint256 n = debits.length;
        if (n != signatures.length) revert IAttribution.LengthMismatch(n, signatures.length);
        if (n > _param("maxChannels")) revert IAttribution.TooManyChannels(n, _param("maxChannels"));
        debited = new IAttribution.ChannelAmount[](n);
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("Tributary"), keccak256("1"), block.chainid, SETTLEMENT)
        );
        bytes32 previous;
        uint256 sum;
        for (uint256 i; i < n; i++) {
            IAttribution.Debit calldata debit = debits[i];
            if (i > 0 && debit.channel <= previous) revert IAttribution.NotAscending(i);
            previous = debit.channel;
            _redeem(agentId, debit, signatures[i], domain);
            debited[i] = IAttribution.ChannelAmount(debit.channel, debit.amount);
            sum += debit.amount;
        }
        if (sum != totals.fees) revert IAttribution.TotalsMismatch(sum, totals.fees);
    }

    function _redeem(
        uint64 agentId,
        IAttribution.Debit calldata debit,
        bytes calldata signature,
        bytes32 domain
    ) private {
        Channel storage channel = channels[debit.channel];
        if (channel.status == 0) revert IAttribution.UnknownChannel(debit.channel);
        if (channel.agentId != agentId) revert IAttribution.WrongAgent(debit.channel, channel.agentId);
        if (channel.status == CLOSED) revert IAttribution.ChannelIsClosed(debit.channel);
        if (debit.cumulative > type(uint128).max) revert IAttribution.BadVoucher(debit.channel);
        (uint128 deposited, uint128 settled) = (channel.deposited, channel.settled);
        uint128 cap = deposited < debit.cumulative ? deposited : uint128(debit.cumulative);
        if (uint256(settled) + debit.amount > cap) {
            revert IAttribution.CapExceeded(debit.channel, settled, debit.amount, cap);
        }
        bytes32 message =
            keccak256(abi.encode(VOUCHER_TYPE, debit.channel, debit.cumulative, debit.requestHash));
        address signer = _recover(keccak256(abi.encodePacked(hex"1901", domain, message)), signature);
        if (signer == address(0) || signer != channel.signer) revert IAttribution.BadVoucher(debit.channel);
        channel.settled = settled + debit.amount;
    }

    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > HALF_ORDER) return address(0);
        return ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), s);
    }

    function _store(
        bytes32 batchId,
        IAttribution.Header calldata header,
        IAttribution.Totals calldata totals,
        uint64 deadline,
        uint128 bond
    ) private {
        Batch storage batch = batches[batchId];
        batch.agentId = header.agentId;
        batch.seq = header.seq;
        batch.deadline = deadline;
        batch.commitBlock = uint64(block.number);
        batch.committedAt = uint64(block.timestamp);
        batch.nBytes = header.nBytes;
        batch.nRecords = header.nRecords;
        batch.nAccounts = header.nAccounts;
        batch.responseWindow = uint32(_param("responseWindow"));
        batch.disputeExtension = uint32(_param("disputeExtension"));
        batch.batchHash = header.batchHash;
        batch.recordsRoot = header.recordsRoot;
        batch.payoutRoot = header.payoutRoot;
        batch.platform = totals.platform;
        batch.model = totals.model;
        batch.stakers = totals.stakers;
        batch.contributors = totals.contributors;
        batch.treasury = totals.treasury;
        batch.bond = bond;
    }
}
