//! A WebSocket connection that does what it is told and nothing by itself.

use crate::node::Node;
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct BareWs(pub(crate) TcpStream);

impl BareWs {
    pub(crate) async fn connect(node: &Node) -> Self {
        let mut stream = TcpStream::connect(node.handle.ws_address().unwrap()).await.unwrap();
        let hello = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// Sends one message.
    pub(crate) async fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend(u64::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next message; pings are passed over.
    pub(crate) async fn hear(&mut self) -> Value {
        tokio::time::timeout(Duration::from_secs(20), self.next_text()).await.expect("a message")
    }

    async fn next_text(&mut self) -> Value {
        loop {
            let (kind, length) = (self.0.read_u8().await.unwrap(), self.0.read_u8().await.unwrap());
            let length = match length {
                126 => u64::from(self.0.read_u16().await.unwrap()),
                127 => self.0.read_u64().await.unwrap(),
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.unwrap();
            if kind == 0x81 {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }
}
