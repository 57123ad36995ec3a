// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The storage of 0x0A06.
abstract contract ParamsStorage {
    struct ParamAt {
        uint64 fromBlock;
        uint192 value;
    }

    mapping(bytes32 key => ParamAt[]) internal history;
}

contract Params is ParamsStorage {}
