// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A02.
abstract contract ModelsStorage {
    struct Source {
        uint64 datanetId;
        uint64 epoch;
    }

    struct RatesAt {
        uint64 fromBlock;
        uint96 inRate;
        uint96 outRate;
    }

    struct OwnerAt {
        uint64 fromBlock;
        address owner;
    }

    struct Model {
        uint64 baseId;
        uint64 registeredBlock;
        uint64 retiredFrom;
        uint32 rank;
        address pendingOwner;
        bytes32 hash;
        bytes32 tokenizerHash;
        bytes32 profileHash;
        string name;
        string uri;
        Source[] sources;
        RatesAt[] rates;
        OwnerAt[] owners;
    }

    uint64 internal count;
    mapping(uint64 id => Model) internal models;
    mapping(bytes32 nameHash => uint64 id) internal byName;
    mapping(uint64 baseId => mapping(bytes32 artifactHash => uint64 id)) internal byArtifact;
}

contract Models is ModelsStorage {}
