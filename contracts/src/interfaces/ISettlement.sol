// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Settlement: payment channels, the split of a fee, claims
/// @notice Lives at 0x0000000000000000000000000000000000000A04 and holds what channels have deposited and what final
/// batches owe. A voucher is a cap: EIP-712, domain ("Tributary", "1", chainId, this address),
/// `Voucher(bytes32 channel,uint256 cumulative,bytes32 requestHash)`.
interface ISettlement {
    /// @notice A channel. `status`: 1 open, 2 closing, 3 closed. `closeAt` is 0 unless it is closing or closed.
    struct Channel {
        uint64 agentId;
        address payer;
        address signer;
        uint8 status;
        uint64 closeAt;
        uint128 deposited;
        uint128 settled;
    }

    /// @notice An amount of a channel.
    struct ChannelAmount {
        bytes32 channel;
        uint128 amount;
    }

    /// @notice A channel was opened.
    event ChannelOpened(
        bytes32 indexed channel,
        uint64 indexed agentId,
        address indexed payer,
        address signer,
        uint256 nonce,
        uint128 deposit
    );
    /// @notice A deposit was added; `deposited` is the sum of all.
    event ChannelToppedUp(bytes32 indexed channel, address indexed from, uint128 amount, uint128 deposited);
    /// @notice The payer asked for the channel to be closed, which can be done from `closeAt` on.
    event CloseRequested(bytes32 indexed channel, uint64 closeAt);
    /// @notice The channel was closed and the rest paid back.
    event ChannelClosed(bytes32 indexed channel, address indexed payer, uint128 paidBack);
    /// @notice An account was paid what final batches of an agent owe it; `cumulative` is the sum of all its claims.
    event Claimed(uint64 indexed agentId, address indexed account, uint64 seq, uint128 amount, uint128 cumulative);
    /// @notice A void batch gave an amount back to a channel, or, when that was closed, to its payer.
    event Refunded(bytes32 indexed batchId, bytes32 indexed channel, uint128 amount, bool toPayer);

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
    /// @notice No agent has this id.
    error UnknownAgent(uint64 id);
    /// @notice The agent is retired.
    error AgentRetired(uint64 id);
    /// @notice The agent is a validator, which serves nobody.
    error WrongKind(uint64 id, uint8 kind);
    /// @notice An address must not be zero.
    error ZeroAddress();
    /// @notice The call brings no value.
    error EmptyDeposit();
    /// @notice An amount is above 2^96 - 1.
    error AmountTooLarge(uint256 amount);
    /// @notice No channel has this id.
    error UnknownChannel(bytes32 channel);
    /// @notice Only the payer may do this.
    error NotPayer(address caller, address payer);
    /// @notice The channel is being closed.
    error ChannelClosing(bytes32 channel);
    /// @notice The channel is closed.
    error ChannelIsClosed(bytes32 channel);
    /// @notice Closing has not been asked for.
    error NotClosing(bytes32 channel);
    /// @notice The channel can be closed from `closeAt` on.
    error CloseTooEarly(uint64 closeAt);
    /// @notice No model has this id.
    error UnknownModel(uint64 id);
    /// @notice The batch does not exist or is not final.
    error NotFinal(uint64 agentId, uint64 seq);
    /// @notice The proof does not lead to the batch's payout root.
    error BadProof();
    /// @notice All of it has been claimed.
    error NothingToClaim(uint128 claimed);
    /// @notice The claims of an agent would exceed what its final batches credit.
    error ExceedsFinal(uint128 claimed, uint128 credited);
    /// @notice No batch has this id.
    error UnknownBatch(bytes32 batchId);
    /// @notice The batch is not void.
    error NotVoid(bytes32 batchId);
    /// @notice The batch was refunded already.
    error AlreadyRefunded(bytes32 batchId);
    /// @notice The amounts are not those that the batch debited.
    error WrongDebits(bytes32 batchId);

    /// @notice Opens a channel from the sender to an agent; the value is its deposit.
    /// @param signer the key that signs the vouchers
    function open(uint64 agentId, address signer) external payable returns (bytes32 channel);
    /// @notice Adds to an open channel's deposit.
    function topUp(bytes32 channel) external payable;
    /// @notice Begins to close a channel: no more deposits, no new requests. Only the payer.
    function requestClose(bytes32 channel) external returns (uint64 closeAt);
    /// @notice Closes a channel after `closeDelay` and pays its payer what was not spent.
    function close(bytes32 channel) external returns (uint128 paidBack);
    /// @notice Pays an account what it is owed by an agent's final batches up to `seq` and has not had, whoever calls.
    /// @param proof the 32 siblings, leaf side first, of the payout leaf (index, account, cumulative)
    function claim(
        uint64 agentId,
        uint64 seq,
        uint32 index,
        address account,
        uint256 cumulative,
        bytes32[] calldata proof
    ) external returns (uint128 amount);
    /// @notice Gives back what a void batch took: all of its debits, in their order.
    function refund(bytes32 batchId, ChannelAmount[] calldata debits) external;

    /// @notice The fee of a request at this block's rates, and its parts.
    function quote(uint64 modelId, uint32 inTokens, uint32 outTokens)
        external
        view
        returns (uint128 fee, uint128 platform, uint128 model, uint128 stakers, uint128 contributors);
    /// @notice A channel.
    function getChannel(bytes32 channel) external view returns (Channel memory info);
    /// @notice How many channels a payer has opened.
    function channelCount(address payer) external view returns (uint64);
    /// @notice A payer's channel, in the order of opening, from 0.
    function channelOf(address payer, uint64 agentId, uint64 index) external view returns (bytes32 channel);
    /// @notice The nonce of a payer's next channel.
    function nextNonce(address payer) external view returns (uint256 nonce);
    /// @notice What an account has claimed from an agent.
    function claimedOf(uint64 agentId, address account) external view returns (uint128 claimed);
    /// @notice What an agent's final batches credit in their payout trees, and what of it was claimed.
    function creditedOf(uint64 agentId) external view returns (uint128 credited, uint128 claimed);
    /// @notice The EIP-712 domain separator of vouchers.
    function domainSeparator() external view returns (bytes32);
    /// @notice The digest that a voucher's signature is over.
    function voucherDigest(bytes32 channel, uint256 cumulative, bytes32 requestHash)
        external
        view
        returns (bytes32 digest);
}
