// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Governed parameters
/// @notice Lives at 0x0000000000000000000000000000000000000A06. A key is the parameter's name in ASCII, left aligned
/// in 32 bytes. Values are kept as append-only lists of (fromBlock, value): a write takes effect in the next block,
/// and what held at any block can be read for ever.
interface IParams {
    /// @notice A parameter and its value in this block.
    struct Param {
        bytes32 key;
        uint256 value;
    }

    /// @notice `key` has `value` from block `fromBlock` on.
    event ParamSet(bytes32 indexed key, uint256 value, uint64 fromBlock);

    /// @notice The call did not come straight to this address: DELEGATECALL and CALLCODE carry forged values.
    error NotDirectCall();
    /// @notice A state change was asked for under STATICCALL.
    error StaticCall();
    /// @notice Value came with a function that takes none.
    error NonPayable();
    /// @notice No function of this interface, or one whose fork has not come.
    error UnknownSelector();
    /// @notice The arguments are not a canonical ABI encoding of this function's parameters.
    error BadCalldata();
    /// @notice A sum does not fit its field. Cannot happen while all of OPEN is below 2^128 wei.
    error Overflow();
    /// @notice Only the governor may write.
    error NotGovernor(address caller);
    /// @notice No parameter has this name.
    error UnknownKey(bytes32 key);
    /// @notice The value is outside of the parameter's range.
    error OutOfRange(bytes32 key, uint256 value, uint256 min, uint256 max);
    /// @notice The values would break a rule that joins several parameters, named in ASCII.
    error Inconsistent(bytes32 rule);
    /// @notice `keys` and `values` differ in length, or are empty.
    error LengthMismatch(uint256 left, uint256 right);

    /// @notice Sets one parameter from the next block on. Only the governor.
    function set(bytes32 key, uint256 value) external;
    /// @notice Sets several at once, so that rules joining them are checked on the outcome alone. Only the governor.
    function setMany(bytes32[] calldata keys, uint256[] calldata values) external;

    /// @notice The value in this block.
    function get(bytes32 key) external view returns (uint256 value);
    /// @notice The value that holds at `blockNumber`; for a block to come, what is decided so far.
    function at(bytes32 key, uint64 blockNumber) external view returns (uint256 value);
    /// @notice Every parameter with its value in this block.
    function all() external view returns (Param[] memory params);
    /// @notice Every parameter with the value that holds at `blockNumber`.
    function allAt(uint64 blockNumber) external view returns (Param[] memory params);
}
