// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A05.
abstract contract AttributionStorage {
    struct Chain {
        uint64 lastSeq;
        uint64 finalSeq;
        uint64 voidFrom;
        bytes32 lastBatch;
    }

    struct Batch {
        uint64 agentId;
        uint64 seq;
        uint64 deadline;
        uint64 commitBlock;
        uint64 committedAt;
        uint32 nBytes;
        uint32 nRecords;
        uint32 nAccounts;
        uint32 responseWindow;
        uint32 disputeExtension;
        bool isFinal;
        bool refunded;
        bytes32 batchHash;
        bytes32 recordsRoot;
        bytes32 payoutRoot;
        bytes32 daHash;
        bytes32 debitsHash;
        uint128 platform;
        uint128 model;
        uint128 stakers;
        uint128 contributors;
        uint128 treasury;
        uint128 bond;
        address challenger;
        uint64 respondBy;
        uint32 published;
        uint32 publishedBytes;
    }

    mapping(bytes32 id => Batch) internal batches;
    mapping(uint64 agentId => Chain) internal chains;
    mapping(uint64 agentId => mapping(uint64 seq => bytes32 id)) internal batchIds;
}

contract Attribution is AttributionStorage {}
