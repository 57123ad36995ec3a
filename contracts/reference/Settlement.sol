// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A04.
abstract contract SettlementStorage {
    struct Channel {
        address signer;
        uint64 agentId;
        uint8 status;
        address payer;
        uint64 closeAt;
        uint128 deposited;
        uint128 settled;
    }

    struct Ledger {
        uint128 credited;
        uint128 claimed;
    }

    mapping(bytes32 id => Channel) internal channels;
    mapping(address payer => uint64) internal channelCounts;
    mapping(uint64 agentId => Ledger) internal ledgers;
    mapping(uint64 agentId => mapping(address account => uint128)) internal claimed;
}

contract Settlement is SettlementStorage {}
