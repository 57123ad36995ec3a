//! The same state through the reader, without an EVM.

use crate::fixture::{adapter_call, base_call, contribute, datanet, reveal_call, seal, service};
use crate::world::{CONFIG, OPEN, World};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolError};
use tributary_abi::{IDatanets, IModels, IParams, address};
use tributary_precompiles::{ChainReader, MemoryHost, ReadError, StorageRead, key_of, view};
use tributary_record::{ChainView, Source, Standing};

struct State<'a>(&'a MemoryHost);

impl StorageRead for State<'_> {
    fn read(&self, contract: Address, slot: U256) -> Result<U256, String> {
        Ok(self.0.slot(contract, slot))
    }
}

struct Broken;

impl StorageRead for Broken {
    fn read(&self, _: Address, _: U256) -> Result<U256, String> {
        Err("disk".into())
    }
}

#[test]
fn views_without_an_evm() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    datanet(&mut w, owner);
    let read = |data: Vec<u8>, contract| view(&CONFIG, &State(&w.memory), (w.block, w.now), contract, &data);
    let got = read(IDatanets::getCall { id: 1 }.abi_encode(), address::DATANETS).unwrap();
    assert_eq!(IDatanets::getCall::abi_decode_returns(&got).unwrap().owner, owner);
    let unknown = IDatanets::UnknownDatanet { id: 2 }.abi_encode().into();
    assert_eq!(
        read(IDatanets::getCall { id: 2 }.abi_encode(), address::DATANETS),
        Err(ReadError::Reverted(unknown))
    );
    let seal = IDatanets::StaticCall {}.abi_encode().into();
    assert_eq!(
        read(IDatanets::sealCall { id: 1 }.abi_encode(), address::DATANETS),
        Err(ReadError::Reverted(seal))
    );
    let broken = view(&CONFIG, &Broken, (1, 1), address::DATANETS, &IDatanets::countCall {}.abi_encode());
    assert_eq!(broken, Err(ReadError::State("disk".into())));
}

#[test]
fn the_chain_as_the_check_of_records_sees_it() {
    let mut w = World::new();
    let s = service(&mut w);
    let owner = s.owner.address;
    let net = datanet(&mut w, owner);
    let ids: Vec<u64> = (0..3).map(|n| contribute(&mut w, owner, reveal_call(net, n, 10))).collect();
    w.datanets(owner, 0, IDatanets::rejectCall { contributionId: ids[2] }).unwrap();
    seal(&mut w, owner, net);
    w.datanets(owner, 0, IDatanets::removeCall { contributionId: ids[1] }).unwrap();
    let base = w.models(owner, base_call("base")).unwrap();
    let adapter = w.models(owner, adapter_call(base, "a", &[(net, 1)])).unwrap();
    let registered = w.block;
    w.next_block();
    w.models(owner, IModels::retireCall { id: adapter }).unwrap();
    let set = IParams::setCall { key: key_of("platformFee"), value: U256::from(5) };
    w.params(crate::world::GOVERNOR, set).unwrap();
    w.next_block();

    let reader = ChainReader::new(&CONFIG, State(&w.memory), (w.block, w.now));
    assert_eq!(reader.params(w.block).unwrap().split.platform_fee, 5);
    assert_eq!(reader.params(w.block - 1).unwrap().split.platform_fee, 1_000_000_000_000);
    assert_eq!(reader.model(base, registered).unwrap().unwrap().rates.output, 3_000_001);
    assert_eq!(reader.model(base, registered - 1).unwrap(), None);
    assert_eq!(reader.model(adapter, w.block).unwrap(), None);
    assert_eq!(reader.adapter(base, w.block).unwrap(), None);
    let found = reader.adapter(adapter, w.block - 1).unwrap().unwrap();
    assert_eq!((found.base, found.retired, found.owner), (base, false, owner));
    assert_eq!(found.sources, vec![Source { datanet: net, epoch: 1 }]);
    assert!(reader.adapter(adapter, w.block).unwrap().unwrap().retired);
    assert_eq!(reader.model(99, w.block).unwrap(), None);
    let epoch = reader.epoch(Source { datanet: net, epoch: 1 }).unwrap().unwrap();
    assert_eq!((epoch.count, epoch.min_match), (3, 8));
    assert_eq!(reader.epoch(Source { datanet: net, epoch: 2 }).unwrap(), None);
    let standings = ids.iter().map(|id| reader.contribution(*id).unwrap().unwrap().standing);
    let expected = [Standing::Live, Standing::RemovedFrom(2), Standing::Rejected];
    assert_eq!(standings.collect::<Vec<_>>(), expected);
    let channel = reader.channel(s.channel).unwrap().unwrap();
    assert_eq!((channel.agent_id, channel.deposited, channel.settled), (s.agent, 100 * OPEN, 0));
    assert_eq!(reader.channel(B256::ZERO).unwrap(), None);
    assert!(ChainReader::new(&CONFIG, Broken, (1, 1)).channel(B256::ZERO).is_err());
}
