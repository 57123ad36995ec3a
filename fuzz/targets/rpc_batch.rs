//! The body of an HTTP request to the node: one call, a batch of them, or nothing of the sort.
#![no_main]

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::LazyLock,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;
use tributary_fuzz::Node;
use tributary_rpc::{EndpointConfig, EthConfig, Namespaces, RpcConfig, RpcHandle, ServerLimits};

struct Server {
    node: Node,
    address: SocketAddr,
    _runtime: Runtime,
    _handle: RpcHandle,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let node = Node::dev(20);
    let mut endpoint = EndpointConfig::new(([127, 0, 0, 1], 0).into());
    endpoint.namespaces = Namespaces::all();
    let config = RpcConfig {
        http: Some(endpoint),
        ws: None,
        limits: ServerLimits::default(),
        eth: EthConfig::default(),
    };
    let handle = runtime.block_on(RpcHandle::launch(&config, &node.modules)).expect("a server");
    let address = handle.http_address().expect("over HTTP");
    drop(_inside);
    Server { node, address, _runtime: runtime, _handle: handle }
});

thread_local! {
    static CONNECTION: RefCell<Option<BufReader<TcpStream>>> = const { RefCell::new(None) };
}

fuzz_target!(|body: &[u8]| {
    let server = &*SERVER;
    let answer = CONNECTION.with_borrow_mut(|slot| {
        let connection = slot.get_or_insert_with(|| connect(server.address));
        match post(connection, body) {
            Ok((answer, keeps)) => {
                if !keeps {
                    *slot = None;
                }
                answer
            }
            Err(error) => panic!("no answer: {error}"),
        }
    });
    if let Ok(answer) = serde_json::from_slice::<Value>(&answer) {
        let answers = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
        // `null` is the answer to a notification.
        for answer in answers.iter().filter(|answer| !answer.is_null()) {
            assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        }
    }
    server.node.check();
});

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    BufReader::new(stream)
}

/// Posts a body and reads the answer; whether the connection stays open.
fn post(connection: &mut BufReader<TcpStream>, body: &[u8]) -> std::io::Result<(Vec<u8>, bool)> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    let (mut length, mut keeps, mut line) = (0, true, String::new());
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        keeps &= header != "connection: close";
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer)?;
    Ok((answer, keeps))
}
