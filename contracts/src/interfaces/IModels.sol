// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Models: base models and the adapters trained upon them
/// @notice Lives at 0x0000000000000000000000000000000000000A02. Ids are shared by base models and adapters and begin
/// at 1. Rates are wei per 1,000 tokens. Rates, owners and retirement take effect in the next block and can be read
/// for any block.
interface IModels {
    /// @notice A sealed epoch of a datanet.
    struct Source {
        uint64 datanetId;
        uint64 epoch;
    }

    /// @notice A model as it stands. A base model has baseId 0, and `hash` is of its weights; an adapter's is of its
    /// artifact, and its tokenizer and profile are the base's. `retiredFrom` is 0 while it is in use.
    struct Model {
        uint64 id;
        uint64 baseId;
        address owner;
        address pendingOwner;
        string name;
        string uri;
        bytes32 hash;
        bytes32 tokenizerHash;
        bytes32 profileHash;
        uint32 rank;
        uint96 inRate;
        uint96 outRate;
        uint64 registeredBlock;
        uint64 retiredFrom;
        Source[] sources;
    }

    /// @notice A base model was registered.
    event BaseRegistered(
        uint64 indexed id,
        address indexed owner,
        string name,
        bytes32 weightsHash,
        bytes32 tokenizerHash,
        bytes32 profileHash,
        string uri
    );
    /// @notice An adapter was registered.
    event AdapterRegistered(
        uint64 indexed id,
        uint64 indexed baseId,
        address indexed owner,
        string name,
        bytes32 artifactHash,
        uint32 rank,
        Source[] sources,
        string uri
    );
    /// @notice The rates from `fromBlock` on.
    event RatesSet(uint64 indexed id, uint96 inRate, uint96 outRate, uint64 fromBlock);
    /// @notice Where the weights are found.
    event UriSet(uint64 indexed id, string uri);
    /// @notice The model is retired from `fromBlock` on.
    event Retired(uint64 indexed id, uint64 fromBlock);
    /// @notice The owner offered the model to `to` (the zero address: took the offer back).
    event TransferOffered(uint64 indexed id, address indexed from, address indexed to);
    /// @notice The offer was accepted; the owner changes at `fromBlock`.
    event Transferred(uint64 indexed id, address indexed from, address indexed to, uint64 fromBlock);

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
    /// @notice A text is longer than allowed.
    error TooLong(uint256 length, uint256 max);
    /// @notice A name is not of the form [a-z0-9._-]{1,64}.
    error BadName();
    /// @notice Another model has this name.
    error NameTaken(uint64 id);
    /// @notice The base model has this artifact already.
    error AlreadyRegistered(uint64 id);
    /// @notice No model has this id.
    error UnknownModel(uint64 id);
    /// @notice The model is an adapter; a base model is needed.
    error NotBase(uint64 id);
    /// @notice The model is retired.
    error ModelRetired(uint64 id);
    /// @notice Only the owner may do this.
    error NotOwner(address caller, address owner);
    /// @notice The model was not offered to the caller.
    error NotOffered(address caller, address pendingOwner);
    /// @notice An adapter's rank is 0.
    error BadRank();
    /// @notice More sources than `maxSources`.
    error TooManySources(uint256 sources, uint256 max);
    /// @notice The sources are not strictly ascending by datanet.
    error SourcesNotSorted(uint256 index);
    /// @notice No such epoch has been sealed.
    error NotSealed(uint64 datanetId, uint64 epoch);
    /// @notice The datanet has another tokenizer than the base model.
    error WrongTokenizer(uint64 datanetId);

    /// @notice Registers a base model.
    function registerBase(
        string calldata name,
        bytes32 weightsHash,
        bytes32 tokenizerHash,
        bytes32 profileHash,
        string calldata uri,
        uint96 inRate,
        uint96 outRate
    ) external returns (uint64 id);
    /// @notice Registers an adapter with the sealed epochs it was trained on, strictly ascending by datanet. They
    /// never change: retraining makes a new adapter.
    function registerAdapter(
        uint64 baseId,
        string calldata name,
        bytes32 artifactHash,
        uint32 rank,
        Source[] calldata sources,
        string calldata uri,
        uint96 inRate,
        uint96 outRate
    ) external returns (uint64 id);
    /// @notice Sets the rates from the next block on. Only the owner.
    function setRates(uint64 id, uint96 inRate, uint96 outRate) external;
    /// @notice Sets where the weights are found. Only the owner.
    function setUri(uint64 id, string calldata uri) external;
    /// @notice Retires a model for good, from the next block on. Only the owner.
    function retire(uint64 id) external;
    /// @notice Offers the model to `to`, who must accept. Only the owner.
    function transfer(uint64 id, address to) external;
    /// @notice Accepts an offered model; its owner changes in the next block.
    function acceptTransfer(uint64 id) external;

    /// @notice How many models there are; their ids are 1 to this.
    function count() external view returns (uint64);
    /// @notice A model.
    function get(uint64 id) external view returns (Model memory model);
    /// @notice The id behind a name, 0 when there is none.
    function idOf(string calldata name) external view returns (uint64 id);
    /// @notice The id of an adapter by its artifact, 0 when there is none.
    function idOfArtifact(uint64 baseId, bytes32 artifactHash) external view returns (uint64 id);
    /// @notice The rates that hold at a block.
    function ratesAt(uint64 id, uint64 blockNumber) external view returns (uint96 inRate, uint96 outRate);
    /// @notice The owner at a block; the zero address before registration.
    function ownerAt(uint64 id, uint64 blockNumber) external view returns (address owner);
    /// @notice Whether the model is retired at a block.
    function retiredAt(uint64 id, uint64 blockNumber) external view returns (bool);
}
