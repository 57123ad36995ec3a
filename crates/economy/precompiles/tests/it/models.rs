//! Models.

use crate::fixture::{adapter_call, base_call, contribute, datanet, reveal_call, seal};
use crate::world::{Refused, World};
use alloy_primitives::{Address, B256, U256, aliases::U96, keccak256};
use alloy_sol_types::SolEvent;
use tributary_abi::IModels::*;
use tributary_abi::ISettlement::{quoteCall, quoteReturn};

/// Two sealed datanets and a base model of their tokenizer.
fn ground(w: &mut World, owner: Address) -> u64 {
    for number in 0..2 {
        let id = datanet(w, owner);
        contribute(w, owner, reveal_call(id, number, 100));
        seal(w, owner, id);
    }
    w.models(owner, base_call("base")).unwrap()
}

#[test]
fn base_and_adapter() {
    let mut w = World::new();
    let (owner, builder) = (w.wallet("owner").address, w.wallet("builder").address);
    let base = ground(&mut w, owner);
    let id = w.models(builder, adapter_call(base, "devil", &[(1, 1), (2, 1)])).unwrap();
    assert_eq!((base, id), (1, 2));
    let event = AdapterRegistered::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.id, event.baseId, event.owner, event.sources.len()), (2, 1, builder, 2));
    let got = w.models(owner, getCall { id }).unwrap();
    assert_eq!(got.tokenizerHash, base_call("base").tokenizerHash);
    assert_eq!(got.profileHash, base_call("base").profileHash);
    assert_eq!((got.owner, got.rank, got.baseId, got.retiredFrom), (builder, 16, base, 0));
    assert_eq!(got.sources, vec![Source { datanetId: 1, epoch: 1 }, Source { datanetId: 2, epoch: 1 }]);
    assert_eq!(w.models(owner, countCall {}).unwrap(), 2);
    assert_eq!(w.models(owner, idOfCall { name: "devil".into() }).unwrap(), 2);
    assert_eq!(w.models(owner, idOfCall { name: "nobody".into() }).unwrap(), 0);
    let by_artifact = idOfArtifactCall { baseId: base, artifactHash: keccak256("devil") };
    assert_eq!(w.models(owner, by_artifact).unwrap(), 2);
}

#[test]
fn what_registration_refuses() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    let base = ground(&mut w, owner);
    w.models(owner, base_call("Base")).refused(BadName {});
    w.models(owner, base_call("base")).refused(NameTaken { id: base });
    let mut long = base_call("long");
    long.uri = "u".repeat(257);
    w.models(owner, long).refused(TooLong { length: U256::from(257), max: U256::from(256) });
    w.models(owner, adapter_call(9, "a", &[])).refused(UnknownModel { id: 9 });
    let adapter = w.models(owner, adapter_call(base, "a", &[])).unwrap();
    w.models(owner, adapter_call(adapter, "b", &[])).refused(NotBase { id: adapter });
    let mut twin = adapter_call(base, "b", &[]);
    twin.artifactHash = keccak256("a");
    w.models(owner, twin).refused(AlreadyRegistered { id: adapter });
    let mut flat = adapter_call(base, "c", &[]);
    flat.rank = 0;
    w.models(owner, flat).refused(BadRank {});
    let many: Vec<_> = (1..=9).map(|id| (id, 1)).collect();
    w.models(owner, adapter_call(base, "c", &many))
        .refused(TooManySources { sources: U256::from(9), max: U256::from(8) });
    w.models(owner, adapter_call(base, "c", &[(2, 1), (1, 1)]))
        .refused(SourcesNotSorted { index: U256::ONE });
    w.models(owner, adapter_call(base, "c", &[(1, 1), (1, 1)]))
        .refused(SourcesNotSorted { index: U256::ONE });
    w.models(owner, adapter_call(base, "c", &[(0, 1)])).refused(SourcesNotSorted { index: U256::ZERO });
    for epoch in [0, 2] {
        w.models(owner, adapter_call(base, "c", &[(1, epoch)])).refused(NotSealed { datanetId: 1, epoch });
    }
    w.models(owner, adapter_call(base, "c", &[(7, 1)])).refused(NotSealed { datanetId: 7, epoch: 1 });
    let mut other = base_call("other");
    other.tokenizerHash = B256::ZERO;
    let other = w.models(owner, other).unwrap();
    w.models(owner, adapter_call(other, "c", &[(1, 1)])).refused(WrongTokenizer { datanetId: 1 });
}

#[test]
fn rates_and_retirement_hold_from_the_next_block() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    let id = w.models(owner, base_call("base")).unwrap();
    let start = w.block;
    let rates_at = |w: &mut World, block| {
        let rates = w.models(owner, ratesAtCall { id, blockNumber: block }).unwrap();
        (rates.inRate.to::<u128>(), rates.outRate.to::<u128>())
    };
    w.next_block();
    let block = w.block;
    w.models(owner, setRatesCall { id, inRate: U96::MAX, outRate: U96::from(9) }).unwrap();
    let event = RatesSet::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!(event.fromBlock, block + 1);
    assert_eq!(rates_at(&mut w, start - 1), (0, 0));
    assert_eq!(rates_at(&mut w, start), (1_000_000, 3_000_001));
    assert_eq!(rates_at(&mut w, block), (1_000_000, 3_000_001));
    assert_eq!(rates_at(&mut w, block + 1), ((1 << 96) - 1, 9));
    w.models(owner, retireCall { id }).unwrap();
    let retired = |w: &mut World, block| w.models(owner, retiredAtCall { id, blockNumber: block }).unwrap();
    assert!(!retired(&mut w, block) && retired(&mut w, block + 1));
    w.models(owner, retireCall { id }).refused(ModelRetired { id });
    w.models(owner, setRatesCall { id, inRate: U96::ZERO, outRate: U96::ZERO }).refused(ModelRetired { id });
    w.models(owner, adapter_call(id, "late", &[])).refused(ModelRetired { id });
    w.models(owner, setUriCall { id, uri: "file:///elsewhere".into() }).unwrap();
    assert_eq!(w.models(owner, getCall { id }).unwrap().uri, "file:///elsewhere");
}

#[test]
fn ownership_moves_in_two_steps() {
    let mut w = World::new();
    let (owner, heir, thief) =
        (w.wallet("owner").address, w.wallet("heir").address, w.wallet("thief").address);
    let id = w.models(owner, base_call("base")).unwrap();
    w.models(thief, transferCall { id, to: thief }).refused(NotOwner { caller: thief, owner });
    w.models(thief, setUriCall { id, uri: String::new() }).refused(NotOwner { caller: thief, owner });
    w.models(heir, acceptTransferCall { id })
        .refused(NotOffered { caller: heir, pendingOwner: Address::ZERO });
    w.models(Address::ZERO, acceptTransferCall { id })
        .refused(NotOffered { caller: Address::ZERO, pendingOwner: Address::ZERO });
    w.models(owner, transferCall { id, to: heir }).unwrap();
    w.models(thief, acceptTransferCall { id }).refused(NotOffered { caller: thief, pendingOwner: heir });
    w.models(heir, acceptTransferCall { id }).unwrap();
    // In the block of the sale the old owner earns, but can not sell again.
    w.models(owner, transferCall { id, to: thief }).refused(NotOwner { caller: owner, owner: heir });
    let block = w.block;
    let owner_at = |w: &mut World, block| w.models(heir, ownerAtCall { id, blockNumber: block }).unwrap();
    assert_eq!((owner_at(&mut w, block), owner_at(&mut w, block + 1)), (owner, heir));
    assert_eq!(owner_at(&mut w, 0), Address::ZERO);
    w.next_block();
    w.models(heir, retireCall { id }).unwrap();
}

#[test]
fn quotes_add_up() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    let base = w.models(owner, base_call("base")).unwrap();
    let adapter = w.models(owner, adapter_call(base, "a", &[])).unwrap();
    let quote = |w: &mut World, model, input, output| {
        w.settlement(owner, 0, quoteCall { modelId: model, inTokens: input, outTokens: output })
    };
    let platform = 1_000_000_000_000;
    let got = quote(&mut w, base, 10, 7).unwrap();
    let net = 10_000 + 21_001;
    assert_eq!(got.fee, platform + net);
    let quoteReturn { fee, platform, model, stakers, contributors } = got;
    assert_eq!((model, stakers), (net * 25 / 100, net * 15 / 100));
    assert_eq!(fee, platform + model + stakers + contributors);
    assert_eq!(quote(&mut w, adapter, 1_000, 0).unwrap().fee, platform + 5_000_000);
    quote(&mut w, 9, 1, 1).refused(UnknownModel { id: 9 });
    w.models(owner, setRatesCall { id: base, inRate: U96::MAX, outRate: U96::MAX }).unwrap();
    w.next_block();
    let dearest = quote(&mut w, base, u32::MAX, u32::MAX).unwrap();
    assert_eq!(dearest.fee, dearest.platform + dearest.model + dearest.stakers + dearest.contributors);
}

pub(crate) fn provoke_all() {
    base_and_adapter();
    what_registration_refuses();
    rates_and_retirement_hold_from_the_next_block();
    ownership_moves_in_two_steps();
    quotes_add_up();
}
