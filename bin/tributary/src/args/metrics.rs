//! `--metrics`.

use std::net::SocketAddr;

use clap::Args;

/// Prometheus metrics.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArgs {
    /// Serve metrics of chain, pool, worker, DA and poster here (`127.0.0.1:9001`, or a port alone); port 0: any free one. Default on a dev chain:
    /// 127.0.0.1:9001, or a free port if that is taken.
    #[arg(long, value_name = "SOCKET", value_parser = parse_socket)]
    pub(crate) metrics: Option<SocketAddr>,
}

/// As reth reads sockets: an address, `localhost`, or a port alone with or without a colon, which is localhost's.
fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    let local = |port: &str| port.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    local(port).map_err(|_| "an address and a port, or a port, wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_socket;

    #[test]
    fn sockets_are_read_as_reth_reads_them() {
        for text in ["9001", ":9001", "localhost:9001", "127.0.0.1:9001"] {
            assert_eq!(parse_socket(text).unwrap().to_string(), "127.0.0.1:9001", "{text}");
        }
        assert_eq!(parse_socket("[::1]:9001").unwrap().to_string(), "[::1]:9001");
        for text in ["", ":", "elsewhere:9001", "99999", "0.0.0.0"] {
            assert!(parse_socket(text).is_err(), "{text}");
        }
    }
}
