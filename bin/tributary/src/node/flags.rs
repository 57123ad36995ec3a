//! Flags that start a node together with others, or that start nothing.

use eyre::{OptionExt, Result};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::info;
use tributary_rpc::Forwarder;

use super::NodeCommand;

impl NodeCommand {
    /// `--with-unused-ports` before anything reads a port.
    pub(super) fn with_ports_of_its_own(mut self) -> Self {
        if self.network.with_unused_ports {
            self.network.port = 0;
            self.rpc.http_port = 0;
            self.rpc.ws_port = 0;
            self.auth.authrpc_port = 0;
            self.inference.api_port = 0;
            self.da.memstore_port = 0;
            self.metrics.metrics.iter_mut().for_each(|metrics| metrics.set_port(0));
        }
        self
    }

    /// Flags that other clients know and that change nothing here. Whoever sets one should not believe otherwise.
    pub(super) fn log_flags_without_effect(&self) {
        let (network, rollup) = (&self.network, &self.rollup);
        let given = [
            ("--disable-discovery", network.disable_discovery),
            ("--nat", !["any", "none"].contains(&network.nat.as_str()) && !network.nat.starts_with("extip:")),
            ("--ipcdisable", self.rpc.ipcdisable),
            ("--ipcpath", self.rpc.ipcpath.is_some()),
            ("--builder.extradata", self.builder.extra_data.is_some()),
            ("--rollup.disable-tx-pool-gossip", rollup.disable_tx_pool_gossip),
            ("--rollup.discovery.v4", rollup.discovery_v4),
            ("--rollup.historicalrpc", rollup.historical_rpc.is_some()),
            ("--rollup.interop-http", rollup.interop_http.is_some()),
        ];
        for (flag, _) in given.into_iter().filter(|(_, given)| *given) {
            info!(target: "tributary", flag, "Flag has no effect");
        }
    }

    /// Where transactions are sent on to.
    pub(super) fn forwarder(&self) -> Result<Option<Forwarder>> {
        let Some(url) = &self.rollup.sequencer else { return Ok(None) };
        let headers = self.rollup.sequencer_headers.iter().map(|header| parse_header(header));
        let headers = headers.collect::<Result<HeaderMap>>()?;
        Ok(Some(Forwarder::new(url.as_str(), headers, self.rollup.retain_forwarded_txs)?))
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=').ok_or_eyre("--rollup.sequencer-headers: `name=value` wanted")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
