//! `tributary proxy`: unmodified OpenAI clients pay for each request.

use std::{net::SocketAddr, sync::Arc};

use clap::Args;
use eyre::{OptionExt, Result};

use crate::{
    args::{PayerArgs, WalletArgs},
    commands::channel_for,
    payer::{Payer, serve_proxy},
};

/// Serve a local OpenAI endpoint that signs a voucher for each request.
#[derive(Debug, Args)]
pub(crate) struct ProxyCommand {
    /// Where to listen; port 0: any free one.
    #[arg(long, default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    #[command(flatten)]
    payer: PayerArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

impl ProxyCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let client = self.wallet.client().await?;
        let channel = channel_for(&client, self.payer.channel)
            .await?
            .ok_or_eyre("no open channel with this node's agent: `tributary channel open` makes one")?;
        let spending = self.payer.spending();
        let payer = Arc::new(Payer::new(client, self.payer.api, Some(channel), spending).await?);
        let json = self.wallet.json;
        serve_proxy(payer, self.listen, |address| {
            if json {
                println!(
                    "{}",
                    serde_json::json!({"url": format!("http://{address}/v1"), "channel": channel})
                );
            } else {
                println!("OpenAI clients: base_url http://{address}/v1, any API key; channel {channel} pays");
            }
        })
        .await
    }
}
