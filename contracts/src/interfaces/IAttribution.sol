// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Attribution: batches of traced answers, their availability and finality
/// @notice Lives at 0x0000000000000000000000000000000000000A05. An agent's batches form a chain. A batch is final
/// when its deadline has passed, it was not lost, and every earlier one is final.
interface IAttribution {
    /// @notice What a batch claims. batchId = hash(abi.encode(chainId, header)).
    struct Header {
        uint64 agentId;
        uint64 seq;
        bytes32 prevBatch;
        bytes32 batchHash;
        uint32 nBytes;
        uint32 nRecords;
        bytes32 recordsRoot;
        bytes32 payoutRoot;
        uint32 nAccounts;
        bytes32 algoId;
    }

    /// @notice What a batch takes from a channel, under a voucher.
    struct Debit {
        bytes32 channel;
        uint256 cumulative;
        bytes32 requestHash;
        uint128 amount;
    }

    /// @notice Where a batch's fees go; `fees` is the sum of the other five.
    struct Totals {
        uint128 fees;
        uint128 platform;
        uint128 model;
        uint128 stakers;
        uint128 contributors;
        uint128 treasury;
    }

    /// @notice An amount of a channel.
    struct ChannelAmount {
        bytes32 channel;
        uint128 amount;
    }

    /// @notice A batch as it stands. `status`: 1 pending, 2 final, 3 void. `challenger` is zero unless its
    /// availability was challenged; `respondBy` is when the answer is due (0 once it was given); `published` counts
    /// the records put on chain.
    struct Batch {
        uint8 status;
        bool refunded;
        uint64 commitBlock;
        uint64 committedAt;
        uint64 deadline;
        uint128 bond;
        bytes32 daHash;
        bytes32 debitsHash;
        address challenger;
        uint64 respondBy;
        uint32 published;
        Header header;
        Totals totals;
    }

    /// @notice A batch was committed.
    event BatchCommitted(
        bytes32 indexed batchId,
        uint64 indexed agentId,
        uint64 indexed seq,
        Header header,
        bytes daCommitment,
        ChannelAmount[] debits,
        Totals totals,
        uint64 deadline,
        uint128 bond
    );
    /// @notice A batch is final and its totals were paid or credited.
    event BatchFinalized(bytes32 indexed batchId, uint64 indexed agentId, uint64 indexed seq, Totals totals);
    /// @notice The batch's bytes were asked for.
    event AvailabilityChallenged(
        bytes32 indexed batchId, address indexed challenger, uint128 bond, uint64 respondBy
    );
    /// @notice Records were put on chain, as calldata of this transaction.
    event RecordsPublished(bytes32 indexed batchId, uint32 firstIndex, uint32 count);
    /// @notice All records are on chain: the bond went to the operator.
    event AvailabilityAnswered(bytes32 indexed batchId, address indexed operator, uint128 bond, uint64 deadline);
    /// @notice The challenger got the bond back: the answer did not come, or the batch became void.
    event BondReturned(bytes32 indexed batchId, address indexed challenger, uint128 bond);
    /// @notice The batch was lost: it and every later one of the agent are void.
    event BatchLost(bytes32 indexed batchId, uint64 indexed agentId, uint64 seq, address indexed challenger);

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
    /// @notice Another value than the bond came with the call.
    error WrongValue(uint256 expected, uint256 got);
    /// @notice No agent has this id.
    error UnknownAgent(uint64 id);
    /// @notice Only the agent's operator may do this.
    error NotOperator(address caller, address operator);
    /// @notice The agent is retired.
    error AgentRetired(uint64 id);
    /// @notice The agent is a validator, which commits no batches.
    error WrongKind(uint64 id, uint8 kind);
    /// @notice The owner's own stake is below `minStake`.
    error StakeTooLow(uint256 required, uint256 got);
    /// @notice The next batch has this seq and this parent.
    error WrongParent(uint64 seq, bytes32 prevBatch);
    /// @notice The trace algorithm is unknown.
    error UnknownAlgo(bytes32 algoId);
    /// @notice The batch has no records, or more than its size or its tree can hold.
    error BadRecordCount(uint32 nRecords);
    /// @notice The batch is larger than allowed.
    error BatchTooLarge(uint256 nBytes, uint256 max);
    /// @notice The DA commitment is longer than allowed.
    error TooLong(uint256 length, uint256 max);
    /// @notice More channels than allowed.
    error TooManyChannels(uint256 channels, uint256 max);
    /// @notice Two lists that go together differ in length.
    error LengthMismatch(uint256 left, uint256 right);
    /// @notice The channels are not strictly ascending.
    error NotAscending(uint256 index);
    /// @notice No channel has this id.
    error UnknownChannel(bytes32 channel);
    /// @notice The channel is another agent's.
    error WrongAgent(bytes32 channel, uint64 agentId);
    /// @notice The channel is closed.
    error ChannelIsClosed(bytes32 channel);
    /// @notice The voucher is not signed by the channel's signer, or not in canonical form.
    error BadVoucher(bytes32 channel);
    /// @notice settled + amount would pass min(cumulative, deposited).
    error CapExceeded(bytes32 channel, uint128 settled, uint128 amount, uint128 cap);
    /// @notice The totals do not add up to the debits.
    error TotalsMismatch(uint256 expected, uint256 got);
    /// @notice No batch has this id.
    error UnknownBatch(bytes32 batchId);
    /// @notice The batch is final.
    error AlreadyFinal(bytes32 batchId);
    /// @notice The batch is void.
    error BatchVoid(bytes32 batchId);
    /// @notice An earlier batch of the agent must become final first.
    error OutOfOrder(uint64 nextSeq);
    /// @notice The time for this comes at `from`.
    error TooEarly(uint64 from);
    /// @notice The time for this ended at `deadline`.
    error TooLate(uint64 deadline);
    /// @notice The batch's availability is being challenged, until `respondBy`.
    error ChallengeOpen(uint64 respondBy);
    /// @notice The batch's availability was challenged before, which can be done once.
    error AlreadyChallenged(bytes32 batchId);
    /// @notice The batch's availability is not being challenged.
    error NotChallenged(bytes32 batchId);
    /// @notice Records must follow those that are on chain.
    error WrongIndex(uint32 expected);
    /// @notice The proof of a record does not lead to the batch's root.
    error BadProof(uint32 index);
    /// @notice The records do not add up to the batch's size.
    error SizeMismatch(uint256 expected, uint256 got);
    /// @notice The bytes are no record of this version.
    error BadRecord(uint32 index);

    /// @notice Commits the agent's next batch and takes the amounts from the channels. Only the operator.
    /// @param daCommitment what fetches the bytes from the data availability layer; empty: this node serves them
    /// @param debits strictly ascending by channel
    /// @param signatures one voucher signature for each debit, r, s, v, low s
    function commitBatch(
        Header calldata header,
        bytes calldata daCommitment,
        Debit[] calldata debits,
        bytes[] calldata signatures,
        Totals calldata totals
    ) external returns (bytes32 batchId);
    /// @notice Makes a batch final after its deadline, in order: pays the platform's and the treasury's part, adds
    /// the stakers' part to the pool, and opens the rest to claims.
    function finalize(bytes32 batchId) external;
    /// @notice Asks the operator to put the batch's records on chain. Once a batch, before its deadline; the value
    /// is the batch's bond.
    function challengeAvailability(bytes32 batchId) external payable;
    /// @notice Answers a challenge, in as many pieces as needed. Only the operator.
    /// @param proofs the 16 siblings of each record's leaf, leaf side first, one record after the other
    function publish(bytes32 batchId, uint32 firstIndex, bytes[] calldata records, bytes32[] calldata proofs)
        external;
    /// @notice Ends a challenge whose answer did not come in time: the batch is lost. On a void batch, returns the
    /// challenger's bond.
    function timeout(bytes32 batchId) external;

    /// @notice A batch.
    function getBatch(bytes32 batchId) external view returns (Batch memory batch);
    /// @notice The id of an agent's batch, 0 when there is none.
    function batchOf(uint64 agentId, uint64 seq) external view returns (bytes32 batchId);
    /// @notice The head of an agent's chain of batches: the last committed, the last final (0: none), and the first
    /// void one (2^64 - 1: none).
    function chainOf(uint64 agentId)
        external
        view
        returns (uint64 lastSeq, bytes32 lastBatch, uint64 finalSeq, uint64 voidFrom);
    /// @notice The id a header has on this chain.
    function batchIdOf(Header calldata header) external view returns (bytes32 batchId);
    /// @notice Whether these bytes are record `index` of the batch.
    function verifyRecord(bytes32 batchId, uint32 index, bytes calldata record, bytes32[] calldata proof)
        external
        view
        returns (bool);
    /// @notice The share of a contribution in record `index` of the batch, in parts per billion (0: none). Reverts
    /// when the proof fails.
    function verifyShare(
        bytes32 batchId,
        uint32 index,
        bytes calldata record,
        bytes32[] calldata proof,
        uint64 contributionId
    ) external view returns (uint32 ppb);
    /// @notice Whether the payout leaf (index, account, cumulative) is in the batch's payout tree.
    function verifyPayout(
        bytes32 batchId,
        uint32 index,
        address account,
        uint256 cumulative,
        bytes32[] calldata proof
    ) external view returns (bool);
}
