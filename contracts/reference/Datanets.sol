// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A01.
abstract contract DatanetsStorage {
    struct Datanet {
        address owner;
        uint32 minMatch;
        uint32 contributions;
        bool changed;
        uint64 epochs;
        uint64 liveTokens;
        bytes32 tokenizerHash;
        string name;
        string uri;
        bytes32[32] frontier;
        mapping(uint64 epoch => Epoch) sealedEpochs;
    }

    struct Epoch {
        bytes32 root;
        uint32 count;
        uint64 tokens;
        uint64 sealedBlock;
    }

    struct Contribution {
        address contributor;
        uint64 commitBlock;
        uint32 tokens;
        bytes32 contentHash;
        bytes32 tokensRoot;
        uint64 firstEpoch;
        uint64 removedEpoch;
        bool rejected;
        string uri;
    }

    struct Commitment {
        uint64 blockNumber;
        uint64 timestamp;
        uint64 contributionId;
    }

    uint64 internal count;
    mapping(uint64 id => Datanet) internal datanets;
    mapping(uint64 contributionId => Contribution) internal contributions;
    mapping(uint64 id => mapping(address contributor => mapping(bytes32 commitment => Commitment))) internal
        commitments;
}

contract Datanets is DatanetsStorage {}
