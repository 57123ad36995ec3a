//! `--authrpc.*`: the Engine API's port.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use eyre::{Context, Result};
use tributary_engine_api::{AuthConfig, JwtSecret};

/// The Engine API.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Engine API")]
pub(crate) struct AuthArgs {
    /// Address of the Engine API, over HTTP and WebSocket.
    #[arg(long = "authrpc.addr", default_value = "127.0.0.1")]
    pub(crate) authrpc_addr: IpAddr,

    /// Port of the Engine API; 0: any free one.
    #[arg(long = "authrpc.port", default_value_t = 8551)]
    pub(crate) authrpc_port: u16,

    /// File of the secret that the rollup node has, too: 32 bytes in hex. Made if it is missing. Default: `jwt.hex` in the
    /// datadir.
    #[arg(long = "authrpc.jwtsecret", value_name = "PATH")]
    pub(crate) jwtsecret: Option<PathBuf>,
}

impl AuthArgs {
    /// Where the server listens, and the secret.
    pub(crate) fn config(&self, default_secret: &Path) -> Result<AuthConfig> {
        let path = self.jwtsecret.as_deref().unwrap_or(default_secret);
        let address = SocketAddr::from((self.authrpc_addr, self.authrpc_port));
        let secret = JwtSecret::load_or_create(path).wrap_err("--authrpc.jwtsecret")?;
        Ok(AuthConfig::new(address, secret))
    }
}
