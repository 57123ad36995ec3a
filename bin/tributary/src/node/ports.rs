//! The ports that a node listens on. Two nodes on one machine want the same ones unless they are told otherwise.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use eyre::{Result, bail, ensure};
use tracing::warn;
use tributary_da::DaChoice;

use super::NodeCommand;

impl NodeCommand {
    /// `--with-unused-ports` before anything reads a port.
    pub(super) fn with_ports_of_its_own(mut self) -> Self {
        if !self.network.with_unused_ports {
            return self;
        }
        let ports = [
            ("port", &mut self.network.port),
            ("http.port", &mut self.rpc.http_port),
            ("ws.port", &mut self.rpc.ws_port),
            ("authrpc.port", &mut self.auth.authrpc_port),
            ("api.port", &mut self.inference.api_port),
            ("da.memstore-port", &mut self.da.memstore_port),
        ];
        for (flag, port) in ports {
            if std::mem::take(port) != 0 && self.given.contains(flag) {
                self.overridden.push(flag);
            }
        }
        if let Some(socket) = &mut self.metrics.metrics {
            if socket.port() != 0 && self.given.contains("metrics") {
                self.overridden.push("metrics");
            }
            socket.set_port(0);
        }
        self
    }

    /// A dev node shows metrics without having been asked to: where another node does so on the usual port already, or this one listens
    /// there for something else, on a free one.
    pub(super) fn yield_port_of_metrics(&mut self) {
        let asked = self.given.contains("metrics");
        let others = self.listens();
        let is_wanted = |socket: &SocketAddr| {
            others.iter().any(|(flag, other)| *flag != "metrics" && meet(*other, *socket))
        };
        let usual = self
            .metrics
            .metrics
            .as_mut()
            .filter(|socket| !asked && (is_taken(**socket) || is_wanted(socket)));
        if let Some(socket) = usual {
            warn!(target: "tributary", usual = %socket, "The usual port of metrics is taken: taking a free one (--metrics names one)");
            socket.set_port(0);
        }
    }

    /// Every port that another process has, told at once and before anything is begun, and one that was named twice.
    pub(super) fn refuse_taken_ports(&self) -> Result<()> {
        let listens = self.listens();
        for (at, (flag, address)) in listens.iter().enumerate() {
            let twin = listens[..at].iter().find(|(other, there)| {
                meet(*there, *address) && !([*other, *flag] == ["http.port", "ws.port"] && there == address)
            });
            if let Some((other, _)) = twin {
                bail!(
                    "--{other} and --{flag} both listen on port {}: choose another for one of them",
                    address.port()
                );
            }
        }
        let taken = listens.into_iter().filter(|(_, address)| is_taken(*address));
        let taken: Vec<_> = taken.map(|(flag, address)| format!("{address} (--{flag})")).collect();
        ensure!(
            taken.is_empty(),
            "in use by another process: {}; choose other ports by these flags, or have free ones chosen by --with-unused-ports. A second node \
             needs a --datadir of its own, too",
            taken.join(", ")
        );
        Ok(())
    }

    /// Where is listened, and the flag that says so.
    fn listens(&self) -> Vec<(&'static str, SocketAddr)> {
        let Self { dev, network, rpc, auth, inference, da, metrics, .. } = self;
        let memstore = inference.api && matches!(da.da, DaChoice::Memstore);
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let all = [
            (rpc.http, "http.port", rpc.http_addr, rpc.http_port),
            (rpc.ws, "ws.port", rpc.ws_addr, rpc.ws_port),
            (!dev.dev, "authrpc.port", auth.authrpc_addr, auth.authrpc_port),
            (!dev.dev || network.wanted_in_dev(), "port", network.addr, network.port),
            (inference.api, "api.port", inference.api_addr, inference.api_port),
            (memstore, "da.memstore-port", here, da.memstore_port),
        ];
        let served = all.into_iter().filter(|(is_served, ..)| *is_served);
        let served = served.map(|(_, flag, address, port)| (flag, SocketAddr::from((address, port))));
        served.chain(metrics.metrics.map(|socket| ("metrics", socket))).collect()
    }
}

/// Whether two listeners want the same port of the same address, or of all.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let same = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same
}

fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::{super::flags::tests::node, *};

    /// A port that is taken while the listener lives.
    fn taken() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn every_port_that_is_taken_is_named_with_its_flag() {
        let ((_http, http), (_api, api), (_metrics, metrics)) = (taken(), taken(), taken());
        let words = format!(
            "--dev --http --http.port {} --api --api.port {} --da.memstore-port 0 --metrics {metrics}",
            http.port(),
            api.port()
        );
        let refused = node(&words).refuse_taken_ports().unwrap_err().to_string();
        let named = format!(
            "in use by another process: {http} (--http.port), {api} (--api.port), {metrics} (--metrics);"
        );
        assert!(refused.contains(&named) && refused.contains("--with-unused-ports"), "{refused}");
        node(&format!("{words} --with-unused-ports")).with_ports_of_its_own().refuse_taken_ports().unwrap();
        // What is not served needs no port.
        let idle = format!(
            "--dev --http.port {} --api.port {} --authrpc.port {}",
            http.port(),
            api.port(),
            api.port()
        );
        node(&idle).refuse_taken_ports().unwrap();
    }

    #[test]
    fn metrics_that_nobody_asked_for_keep_no_second_node_from_starting() {
        let (listener, usual) = taken();
        let mut second = node("--dev");
        second.metrics.metrics = Some(usual);
        second.yield_port_of_metrics();
        assert_eq!(second.metrics.metrics, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let mut asked = node(&format!("--dev --metrics {usual}"));
        asked.yield_port_of_metrics();
        assert_eq!(asked.metrics.metrics, Some(usual));
        assert!(asked.refuse_taken_ports().is_err());
        drop(listener);
        let mut own = node(&format!("--dev --http --http.port {}", usual.port()));
        own.metrics.metrics = Some(usual);
        own.yield_port_of_metrics();
        assert_eq!(own.metrics.metrics.unwrap().port(), 0, "asked for by --http.port");
    }

    #[test]
    fn a_port_that_was_named_twice_is_refused() {
        let refused = |words: &str| node(words).refuse_taken_ports().unwrap_err().to_string();
        let twice = refused("--dev --http --http.port 47 --api --api.port 47 --da.memstore-port 0");
        assert!(twice.starts_with("--http.port and --api.port both listen on port 47"), "{twice}");
        let all = refused("--dev --http --http.addr 0.0.0.0 --http.port 47 --ws --ws.port 47");
        assert!(all.starts_with("--http.port and --ws.port both"), "{all}");
        let (listener, address) = taken();
        let both = format!("--dev --http --http.port {0} --ws --ws.port {0}", address.port());
        let other = refused(&both);
        assert!(other.starts_with("in use by another process"), "one port speaks both: {other}");
        drop(listener);
    }

    #[test]
    fn unused_ports_say_which_ports_they_stand_in_for() {
        let words = "--port 0 --http --http.port 8545 --metrics 9001 --api --da.memstore-port 1";
        assert_eq!(node(words).with_ports_of_its_own().overridden, [""; 0]);
        let unused = node(&format!("{words} --with-unused-ports")).with_ports_of_its_own();
        assert_eq!(unused.overridden, ["http.port", "da.memstore-port", "metrics"]);
        let ports = unused.listens();
        assert!(ports.len() == 6 && ports.iter().all(|(_, address)| address.port() == 0), "{ports:?}");
    }
}
