//! From calldata to a function, with the guards that hold for all of them.

use crate::host::{Halt, Host, ensure, revert};
use crate::machine::Machine;
use crate::{EconomyConfig, agents, attribution, datanets, gas, models, params, settlement};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use alloy_sol_types::abi::AbiDecoderConfig;
use tributary_abi::address::{AGENTS, ATTRIBUTION, DATANETS, MODELS, PARAMS, SETTLEMENT};
use tributary_abi::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement};

/// A call to one of the six addresses, as the EVM presents it.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// Whose code runs.
    pub code: Address,
    /// Whose storage it would run on: differs from `code` under DELEGATECALL and CALLCODE.
    pub target: Address,
    /// Who calls.
    pub caller: Address,
    /// The value, already moved by the EVM.
    pub value: U256,
    /// Under STATICCALL nothing may change.
    pub is_static: bool,
    /// Selector and arguments.
    pub data: &'a [u8],
}

/// What a function may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    View,
    Write,
    Payable,
}

/// Runs a call. Whatever it did must be undone when it halts.
///
/// # Errors
/// [`Halt`].
pub fn execute(config: &EconomyConfig, host: &mut dyn Host, call: &Invocation<'_>) -> Result<Bytes, Halt> {
    let mut machine = Machine::new(host, config, call.caller, call.value);
    let m = &mut machine;
    m.charge(gas::CALL)?;
    ensure!(call.code == call.target, IDatanets::NotDirectCall {});
    let Some((selector, data)) = call.data.split_first_chunk::<4>() else { return Err(unknown()) };
    if !config.is_active(m.now) {
        return Err(unknown());
    }
    match call.code {
        DATANETS => datanets_call(m, call.is_static, *selector, data),
        MODELS => models_call(m, call.is_static, *selector, data),
        AGENTS => agents_call(m, call.is_static, *selector, data),
        SETTLEMENT => settlement_call(m, call.is_static, *selector, data),
        ATTRIBUTION => attribution_call(m, call.is_static, *selector, data),
        PARAMS => params_call(m, call.is_static, *selector, data),
        _ => Err(unknown()),
    }
}

fn unknown() -> Halt {
    revert(IDatanets::UnknownSelector {})
}

/// One match over the selectors of an interface.
macro_rules! functions {
    ($name:ident { $( $kind:ident $call:ty => $function:path; )* }) => {
        fn $name(m: &mut Machine<'_>, is_static: bool, selector: [u8; 4], data: &[u8]) -> Result<Bytes, Halt> {
            match selector {
                $( <$call as SolCall>::SELECTOR => run::<$call>(m, Kind::$kind, is_static, data, $function), )*
                _ => Err(unknown()),
            }
        }
    };
}

fn run<C: SolCall>(
    m: &mut Machine<'_>,
    kind: Kind,
    is_static: bool,
    data: &[u8],
    function: impl FnOnce(&mut Machine<'_>, C) -> Result<C::Return, Halt>,
) -> Result<Bytes, Halt> {
    ensure!(kind == Kind::View || !is_static, IDatanets::StaticCall {});
    ensure!(kind == Kind::Payable || m.value.is_zero(), IDatanets::NonPayable {});
    m.charge(gas::WORD * gas::words(data.len()))?;
    let call = decode::<C>(data)?;
    let result = function(m, call)?;
    let bytes = C::abi_encode_returns(&result);
    m.charge(gas::WORD * gas::words(bytes.len()))?;
    Ok(bytes.into())
}

/// Decodes canonical encodings only: no two arguments can share bytes, so decoding takes no more memory than the
/// calldata has. Bytes after the arguments are ignored, as Solidity does.
fn decode<C: SolCall>(data: &[u8]) -> Result<C, Halt> {
    const STRICT: AbiDecoderConfig = AbiDecoderConfig::new().strict(true).validate_allow_trailing_bytes(true);
    C::abi_decode_raw_with_config(data, STRICT).map_err(|_| revert(IDatanets::BadCalldata {}))
}

functions!(params_call {
    Write IParams::setCall => params::set;
    Write IParams::setManyCall => params::set_many;
    View IParams::getCall => params::get;
    View IParams::atCall => params::at_block;
    View IParams::allCall => params::all;
    View IParams::allAtCall => params::all_at;
});

functions!(datanets_call {
    Payable IDatanets::createCall => datanets::create;
    Write IDatanets::commitCall => datanets::commit;
    Payable IDatanets::revealCall => datanets::reveal;
    Write IDatanets::rejectCall => datanets::reject;
    Write IDatanets::removeCall => datanets::remove;
    Write IDatanets::sealCall => datanets::seal;
    View IDatanets::countCall => datanets::count;
    View IDatanets::getCall => datanets::get;
    View IDatanets::getEpochCall => datanets::get_epoch;
    View IDatanets::getContributionCall => datanets::get_contribution;
    View IDatanets::contributionsCall => datanets::contributions;
    View IDatanets::getCommitmentCall => datanets::get_commitment;
    View IDatanets::commitmentOfCall => datanets::commitment_of;
    View IDatanets::liveCall => datanets::live;
});

functions!(models_call {
    Write IModels::registerBaseCall => models::register_base;
    Write IModels::registerAdapterCall => models::register_adapter;
    Write IModels::setRatesCall => models::set_rates;
    Write IModels::setUriCall => models::set_uri;
    Write IModels::retireCall => models::retire;
    Write IModels::transferCall => models::transfer;
    Write IModels::acceptTransferCall => models::accept_transfer;
    View IModels::countCall => models::count;
    View IModels::getCall => models::get;
    View IModels::idOfCall => models::id_of;
    View IModels::idOfArtifactCall => models::id_of_artifact;
    View IModels::ratesAtCall => models::rates_at;
    View IModels::ownerAtCall => models::owner_at;
    View IModels::retiredAtCall => models::retired_at;
});

functions!(agents_call {
    Payable IAgents::registerCall => agents::register;
    Write IAgents::setOperatorCall => agents::set_operator;
    Write IAgents::setEndpointCall => agents::set_endpoint;
    Write IAgents::retireCall => agents::retire;
    Payable IAgents::stakeCall => agents::stake;
    Write IAgents::requestUnstakeCall => agents::request_unstake;
    Write IAgents::withdrawCall => agents::withdraw;
    Write IAgents::collectCall => agents::collect;
    View IAgents::countCall => agents::count;
    View IAgents::getCall => agents::get;
    View IAgents::positionCall => agents::position;
    View IAgents::operatorAtCall => agents::operator_at;
    View IAgents::retiredAtCall => agents::retired_at;
    View IAgents::rewardOfCall => agents::reward_of;
});

functions!(settlement_call {
    Payable ISettlement::openCall => settlement::open;
    Payable ISettlement::topUpCall => settlement::top_up;
    Write ISettlement::requestCloseCall => settlement::request_close;
    Write ISettlement::closeCall => settlement::close;
    Write ISettlement::claimCall => settlement::claim;
    Write ISettlement::refundCall => settlement::refund;
    View ISettlement::quoteCall => settlement::quote;
    View ISettlement::getChannelCall => settlement::get_channel;
    View ISettlement::channelCountCall => settlement::channel_count;
    View ISettlement::channelOfCall => settlement::channel_of;
    View ISettlement::nextNonceCall => settlement::next_nonce;
    View ISettlement::claimedOfCall => settlement::claimed_of;
    View ISettlement::creditedOfCall => settlement::credited_of;
    View ISettlement::domainSeparatorCall => settlement::domain_separator;
    View ISettlement::voucherDigestCall => settlement::voucher_digest;
});

functions!(attribution_call {
    Write IAttribution::commitBatchCall => attribution::commit_batch;
    Write IAttribution::finalizeCall => attribution::finalize;
    Payable IAttribution::challengeAvailabilityCall => attribution::challenge_availability;
    Write IAttribution::publishCall => attribution::publish;
    Write IAttribution::timeoutCall => attribution::timeout;
    View IAttribution::getBatchCall => attribution::get_batch;
    View IAttribution::batchOfCall => attribution::batch_of;
    View IAttribution::chainOfCall => attribution::chain_of;
    View IAttribution::batchIdOfCall => attribution::batch_id_of;
    View IAttribution::verifyRecordCall => attribution::verify_record;
    View IAttribution::verifyShareCall => attribution::verify_share;
    View IAttribution::verifyPayoutCall => attribution::verify_payout;
});
