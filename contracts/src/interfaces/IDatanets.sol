// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Datanets: curated collections of contributed text
/// @notice Lives at 0x0000000000000000000000000000000000000A01. A contribution is committed, revealed from the next
/// block on, and becomes part of the next sealed epoch. Epochs never change.
interface IDatanets {
    /// @notice A datanet as it stands.
    struct Datanet {
        address owner;
        string name;
        string uri;
        bytes32 tokenizerHash;
        uint32 minMatch;
        uint32 contributions;
        uint64 epochs;
        uint64 liveTokens;
        bool changed;
    }

    /// @notice A sealed epoch. `root` is the depth-32 tree of contribution leaves, `count` its leaves, `tokens` the
    /// tokens of those that are live in it, `sealedBlock` the block it was sealed in.
    struct Epoch {
        bytes32 root;
        uint32 count;
        uint64 tokens;
        uint64 sealedBlock;
    }

    /// @notice A contribution. `firstEpoch` is the first epoch it can be part of. `removedEpoch` is the first epoch in
    /// which it no longer earns (0: it earns). One that was `rejected` is in no epoch and has no place in the
    /// priority order; one that was removed keeps its place.
    struct Contribution {
        uint64 id;
        address contributor;
        bytes32 contentHash;
        bytes32 tokensRoot;
        uint64 tokens;
        uint64 commitBlock;
        uint64 firstEpoch;
        uint64 removedEpoch;
        bool rejected;
        string uri;
    }

    /// @notice A datanet was created.
    event DatanetCreated(
        uint64 indexed id, address indexed owner, string name, string uri, bytes32 tokenizerHash, uint32 minMatch
    );
    /// @notice A commitment was put down.
    event Committed(uint64 indexed id, address indexed contributor, bytes32 indexed commitment);
    /// @notice A contribution was revealed and took the next leaf.
    event Revealed(
        uint64 indexed contributionId,
        uint64 indexed id,
        address indexed contributor,
        bytes32 commitment,
        bytes32 contentHash,
        bytes32 tokensRoot,
        uint64 tokens,
        uint64 commitBlock,
        uint64 firstEpoch,
        string uri
    );
    /// @notice The datanet's owner turned a contribution away before its first epoch.
    event Rejected(uint64 indexed contributionId, uint64 indexed id);
    /// @notice The contributor withdrew a contribution; from `fromEpoch` on it earns nothing.
    event Removed(uint64 indexed contributionId, uint64 indexed id, uint64 fromEpoch);
    /// @notice An epoch was sealed.
    event Sealed(uint64 indexed id, uint64 indexed epoch, bytes32 root, uint32 count, uint64 tokens);

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
    /// @notice Another value than the fee came with the call.
    error WrongValue(uint256 expected, uint256 got);
    /// @notice A text is longer than allowed.
    error TooLong(uint256 length, uint256 max);
    /// @notice A name is empty.
    error EmptyName();
    /// @notice minMatch is outside of [8, 64].
    error BadMinMatch(uint32 minMatch);
    /// @notice No datanet has this id.
    error UnknownDatanet(uint64 id);
    /// @notice The datanet has no such epoch.
    error UnknownEpoch(uint64 id, uint64 epoch);
    /// @notice No contribution has this id.
    error UnknownContribution(uint64 contributionId);
    /// @notice Only the datanet's owner may do this.
    error NotOwner(address caller, address owner);
    /// @notice Only the contributor may do this.
    error NotContributor(address caller, address contributor);
    /// @notice The sender has put down this commitment already, in `blockNumber`.
    error AlreadyCommitted(uint64 blockNumber);
    /// @notice The sender has no such commitment in this datanet: one of the revealed values differs, or none was made.
    error UnknownCommitment(bytes32 commitment);
    /// @notice A commitment can be revealed from `fromBlock` on.
    error RevealTooEarly(uint64 fromBlock);
    /// @notice The time to reveal ended at `deadline`.
    error CommitExpired(uint64 deadline);
    /// @notice The commitment was revealed already, as this contribution.
    error AlreadyRevealed(uint64 contributionId);
    /// @notice The number of tokens is outside of [1, 2^24].
    error BadTokenCount(uint64 tokens);
    /// @notice All 2^32 places are taken.
    error DatanetFull(uint64 id);
    /// @notice The contribution is part of an epoch and can no longer be rejected.
    error InEpoch(uint64 contributionId, uint64 epoch);
    /// @notice The contribution was removed or rejected already.
    error AlreadyRemoved(uint64 contributionId);
    /// @notice Nothing changed since the last epoch.
    error NothingToSeal(uint64 id);

    /// @notice Creates a datanet. Costs `datanetFee`, paid to the treasury.
    /// @param minMatch how many tokens an answer must share with a text in a row to count, in [8, 64]
    function create(string calldata name, string calldata uri, bytes32 tokenizerHash, uint32 minMatch)
        external
        payable
        returns (uint64 id);
    /// @notice Puts down hash(abi.encode(chainId, this address, id, sender, contentHash, tokensRoot, tokens, salt)).
    /// Its block is the contribution's place in the priority order.
    function commit(uint64 id, bytes32 commitment) external;
    /// @notice Reveals a commitment of the sender, from the next block on and within `revealWindow`. Costs
    /// `tokens * tokenFee`, paid to the treasury.
    function reveal(
        uint64 id,
        bytes32 contentHash,
        bytes32 tokensRoot,
        uint64 tokens,
        string calldata uri,
        bytes32 salt
    ) external payable returns (uint64 contributionId);
    /// @notice Turns a contribution away before its first epoch. Only the datanet's owner.
    function reject(uint64 contributionId) external;
    /// @notice Withdraws a contribution: from the next epoch on it earns nothing but keeps its place in the priority
    /// order. Only its contributor.
    function remove(uint64 contributionId) external;
    /// @notice Seals the contributions so far as the next epoch. Only the datanet's owner.
    function seal(uint64 id) external returns (uint64 epoch);

    /// @notice How many datanets there are; their ids are 1 to this.
    function count() external view returns (uint64);
    /// @notice A datanet.
    function get(uint64 id) external view returns (Datanet memory datanet);
    /// @notice A sealed epoch.
    function getEpoch(uint64 id, uint64 epoch) external view returns (Epoch memory sealed_);
    /// @notice A contribution.
    function getContribution(uint64 contributionId) external view returns (Contribution memory contribution);
    /// @notice Up to 64 contributions of a datanet, from leaf `first` on.
    function contributions(uint64 id, uint32 first, uint32 limit)
        external
        view
        returns (Contribution[] memory page);
    /// @notice When a commitment was put down (0: never), and what it was revealed as (0: not yet).
    function getCommitment(uint64 id, address contributor, bytes32 commitment)
        external
        view
        returns (uint64 blockNumber, uint64 timestamp, uint64 contributionId);
    /// @notice The commitment over these values.
    function commitmentOf(
        uint64 id,
        address contributor,
        bytes32 contentHash,
        bytes32 tokensRoot,
        uint64 tokens,
        bytes32 salt
    ) external view returns (bytes32 commitment);
    /// @notice Whether a contribution earns in an epoch.
    function live(uint64 contributionId, uint64 epoch) external view returns (bool);
}
