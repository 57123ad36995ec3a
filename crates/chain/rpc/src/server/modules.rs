//! The methods by namespace.

use crate::{
    AdminPoolApiServer, DebugApiServer, EthApiServer, EthFilterApiServer, EthPubSubApiServer, Namespace,
    Namespaces, NetApiServer, RpcContext, ServerError, TraceApiServer, TributaryRpcServer, TxpoolApiServer,
    Web3ApiServer,
    admin::AdminPoolMethods,
    debug::DebugMethods,
    eth::{
        ConditionalApiServer, ConditionalMethods, EthExtraApiServer, EthMethods, ExtraMethods, FilterMethods,
        PubSubMethods,
    },
    net::NetMethods,
    parity::TraceMethods,
    tributary::TributaryMethods,
    txpool::TxpoolMethods,
    web3::Web3Methods,
};
use jsonrpsee::{Methods, RpcModule, core::RpcResult};
use std::collections::BTreeMap;

/// All methods this node has, of which each endpoint serves some.
#[derive(Clone, Debug)]
pub struct Modules {
    context: RpcContext,
    by_namespace: BTreeMap<Namespace, Methods>,
}

impl Modules {
    /// The methods of this crate.
    pub fn new(context: RpcContext) -> Result<Self, ServerError> {
        let mut modules = Self { context: context.clone(), by_namespace: BTreeMap::new() };
        modules.extend(Namespace::Eth, EthMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Eth, ExtraMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Eth, FilterMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Eth, PubSubMethods(context.clone()).into_rpc())?;
        if context.config.tx_conditional {
            modules.extend(Namespace::Eth, ConditionalMethods(context.clone()).into_rpc())?;
        }
        modules.extend(Namespace::Net, NetMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Web3, Web3Methods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Txpool, TxpoolMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Debug, DebugMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Admin, AdminPoolMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Trace, TraceMethods(context.clone()).into_rpc())?;
        modules.extend(Namespace::Tributary, TributaryMethods(context.clone()).into_rpc())?;
        Ok(modules)
    }

    /// Adds methods of another crate.
    pub fn extend(&mut self, namespace: Namespace, methods: impl Into<Methods>) -> Result<(), ServerError> {
        Ok(self.by_namespace.entry(namespace).or_default().merge(methods)?)
    }

    /// What the methods share.
    pub fn context(&self) -> &RpcContext {
        &self.context
    }

    /// Those of some namespaces that there are methods of, and `rpc`.
    pub fn served(&self, wanted: &Namespaces) -> Namespaces {
        let with_methods = self.by_namespace.keys().copied();
        with_methods.filter(|namespace| wanted.contains(*namespace)).chain([Namespace::Rpc]).collect()
    }

    /// The methods of some namespaces, with `rpc_modules`, which names them.
    pub fn select(&self, namespaces: &Namespaces) -> Result<Methods, ServerError> {
        let mut selected = Methods::new();
        for (_, methods) in self.by_namespace.iter().filter(|(namespace, _)| namespaces.contains(**namespace))
        {
            selected.merge(methods.clone())?;
        }
        let names: BTreeMap<_, _> =
            self.served(namespaces).iter().map(|namespace| (namespace.name(), "1.0")).collect();
        let mut list = RpcModule::new(names);
        list.register_method("rpc_modules", |_, names, _| RpcResult::Ok(names.clone()))?;
        selected.merge(list)?;
        Ok(selected)
    }
}
