// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Agents: who serves, checks and acts, and the stake behind them
/// @notice Lives at 0x0000000000000000000000000000000000000A03. Anyone may stake on an agent and gets shares of its
/// pool (as ERC-4626: rounded down, with a virtual offset). A deposit can be slashed at once and earns from
/// `challengeWindow` after it. Earnings are collected apart from the stake and cannot be slashed.
interface IAgents {
    /// @notice An agent as it stands. `kind`: 0 operator, 1 validator, 2 autonomous. `retiredFrom` is 0 while it is
    /// in service. `assets` and `shares` are of the whole pool, `earningShares` those that earn in this block.
    struct Agent {
        uint64 id;
        uint8 kind;
        address owner;
        address operator;
        string uri;
        string peerId;
        uint64 registeredBlock;
        uint64 retiredFrom;
        bool slashed;
        uint128 assets;
        uint128 shares;
        uint128 earningShares;
        uint128 ownerStake;
    }

    /// @notice What an account has in an agent's pool. `value` is what all its shares are worth now, `earned` what
    /// can be collected, `unstaking` the shares in cooldown until `readyAt`.
    struct Position {
        uint128 shares;
        uint128 earningShares;
        uint128 unstaking;
        uint64 readyAt;
        uint128 value;
        uint128 earned;
    }

    /// @notice An agent was registered.
    event AgentRegistered(
        uint64 indexed id, uint8 indexed kind, address indexed owner, address operator, string uri, string peerId
    );
    /// @notice The operator's key from `fromBlock` on.
    event OperatorSet(uint64 indexed id, address indexed operator, uint64 fromBlock);
    /// @notice Where the agent is reached.
    event EndpointSet(uint64 indexed id, string uri, string peerId);
    /// @notice The agent is retired from `fromBlock` on.
    event AgentRetiredFrom(uint64 indexed id, uint64 fromBlock);
    /// @notice Stake was added; the shares earn from `earnsFrom` on.
    event Staked(uint64 indexed id, address indexed account, uint128 assets, uint128 shares, uint64 earnsFrom);
    /// @notice Shares went into cooldown; `unstaking` are now in it, until `readyAt`.
    event UnstakeRequested(
        uint64 indexed id, address indexed account, uint128 shares, uint128 unstaking, uint64 readyAt
    );
    /// @notice Shares were paid out.
    event Withdrawn(uint64 indexed id, address indexed account, uint128 assets, uint128 shares);
    /// @notice A final batch paid `amount` to those who earn. With none, it went to the treasury (`toTreasury`).
    event Earned(uint64 indexed id, uint128 amount, bool toTreasury);
    /// @notice Earnings were paid out.
    event Collected(uint64 indexed id, address indexed account, uint128 amount);
    /// @notice The whole pool was slashed: `reward` is kept for the challenger, `burned` is gone.
    event Slashed(uint64 indexed id, bytes32 indexed batchId, uint128 reward, uint128 burned);
    /// @notice The reward is now due to this challenger, of the lowest lost batch.
    event RewardDue(uint64 indexed id, address indexed challenger, uint64 seq);
    /// @notice The reward was paid.
    event RewardPaid(uint64 indexed id, address indexed challenger, uint128 amount);

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
    /// @notice No agent has this id.
    error UnknownAgent(uint64 id);
    /// @notice The kind is none of 0, 1 and 2.
    error BadKind(uint8 kind);
    /// @notice An address must not be zero.
    error ZeroAddress();
    /// @notice Only the owner may do this.
    error NotOwner(address caller, address owner);
    /// @notice The agent is retired.
    error AgentRetired(uint64 id);
    /// @notice The owner's own stake would be below `minStake`.
    error StakeTooLow(uint256 required, uint256 got);
    /// @notice An amount is above 2^96 - 1.
    error AmountTooLarge(uint256 amount);
    /// @notice The deposit is too small for a single share.
    error ZeroShares();
    /// @notice The account has fewer shares out of cooldown.
    error NotEnoughShares(uint128 has, uint128 wanted);
    /// @notice The owner's `minStake` is locked while the agent is active or a batch of it is not final.
    error StakeLocked(uint64 id);
    /// @notice Nothing is in cooldown.
    error NothingToWithdraw();
    /// @notice The cooldown ends at `readyAt`.
    error InCooldown(uint64 readyAt);
    /// @notice Nothing has been earned.
    error NothingToCollect();

    /// @notice Registers an agent. The value is the owner's own stake, at least `minStake`.
    /// @param operator the key that signs receipts and commits batches
    function register(uint8 kind, string calldata uri, string calldata peerId, address operator)
        external
        payable
        returns (uint64 id);
    /// @notice Sets the operator's key from the next block on. Only the owner.
    function setOperator(uint64 id, address operator) external;
    /// @notice Sets where the agent is reached. Only the owner.
    function setEndpoint(uint64 id, string calldata uri, string calldata peerId) external;
    /// @notice Takes the agent out of service for good, from the next block on. Only the owner.
    function retire(uint64 id) external;
    /// @notice Adds the value to the agent's pool, for shares of the sender.
    function stake(uint64 id) external payable returns (uint128 shares);
    /// @notice Puts shares of the sender into cooldown. A second request joins the first and starts the wait anew.
    function requestUnstake(uint64 id, uint128 shares) external returns (uint64 readyAt);
    /// @notice Pays the sender what the shares in cooldown are worth now.
    function withdraw(uint64 id) external returns (uint128 assets);
    /// @notice Pays the sender what its shares have earned.
    function collect(uint64 id) external returns (uint128 amount);

    /// @notice How many agents there are; their ids are 1 to this.
    function count() external view returns (uint64);
    /// @notice An agent.
    function get(uint64 id) external view returns (Agent memory agent);
    /// @notice What an account has in an agent's pool.
    function position(uint64 id, address account) external view returns (Position memory held);
    /// @notice The operator's key at a block; the zero address before registration.
    function operatorAt(uint64 id, uint64 blockNumber) external view returns (address operator);
    /// @notice Whether the agent is retired at a block.
    function retiredAt(uint64 id, uint64 blockNumber) external view returns (bool);
    /// @notice The reward kept for the challenger of the lowest lost batch (zeros when there is none).
    function rewardOf(uint64 id) external view returns (address challenger, uint64 seq, uint128 amount);
}
