// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A03.
abstract contract AgentsStorage {
    struct OperatorAt {
        uint64 fromBlock;
        address operator;
    }

    /// @notice Shares that earn from the same time on.
    struct Bucket {
        uint64 earnsFrom;
        uint128 shares;
        uint256 perShare;
    }

    /// @notice Shares of a position that wait in a bucket.
    struct Waiting {
        uint64 bucket;
        uint128 shares;
    }

    struct Agent {
        address owner;
        uint8 kind;
        bool slashed;
        uint64 registeredBlock;
        uint64 retiredFrom;
        uint64 head;
        uint128 reward;
        uint128 assets;
        uint128 shares;
        uint128 earningShares;
        uint128 unpaid;
        uint256 perShare;
        uint256 carry;
        address challenger;
        uint64 challengedSeq;
        string uri;
        string peerId;
        OperatorAt[] operators;
        Bucket[] buckets;
    }

    struct Position {
        uint128 shares;
        uint128 earning;
        uint128 unstaking;
        uint64 readyAt;
        uint64 head;
        uint256 perShare;
        uint256 earned;
        Waiting[] waiting;
    }

    uint64 internal count;
    mapping(uint64 id => Agent) internal agents;
    mapping(uint64 id => mapping(address account => Position)) internal positions;
}

contract Agents is AgentsStorage {}
