//! JSON-RPC over a kept connection: as little of HTTP/1.1 as both clients need, so that the asking costs little.

use base64::Engine as _;
use eyre::{Result, WrapErr, bail, ensure};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A connection, and the secret if it needs tokens.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    secret: Option<[u8; 32]>,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, secret: Option<[u8; 32]>) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        Ok(Self { address, secret, stream: BufReader::with_capacity(1 << 20, stream) })
    }

    /// Calls a method; its error is an error.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.call_raw(method, &params.to_string())
    }

    /// The same with parameters that are JSON already.
    pub(crate) fn call_raw(&mut self, method: &str, params: &str) -> Result<Value> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let mut answer: Value = serde_json::from_slice(&self.post(body.as_bytes())?)?;
        if !answer["error"].is_null() {
            bail!("{method}: {}", answer["error"]);
        }
        Ok(answer["result"].take())
    }

    /// Sends a body and returns the one that comes back.
    pub(crate) fn post(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        let mut request = head(self.address, self.secret.as_ref(), body.len())?;
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let body = if chunked { self.chunks()? } else { self.exactly(length)? };
        ensure!(status.contains(" 200"), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).wrap_err("length of a chunk")?;
            body.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the connection was closed");
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

/// The head of a request.
pub(crate) fn head(address: SocketAddr, secret: Option<&[u8; 32]>, length: usize) -> Result<Vec<u8>> {
    let token = match secret {
        Some(secret) => format!("Authorization: Bearer {}\r\n", token(secret)?),
        None => String::new(),
    };
    Ok(format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{token}Content-Length: {length}\r\n\r\n"
    )
    .into_bytes())
}

/// A JWT of now.
fn token(secret: &[u8; 32]) -> Result<String> {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let issued = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = encode(json!({ "iat": issued }).to_string().as_bytes());
    let signed = format!("{}.{claims}", encode(br#"{"alg":"HS256","typ":"JWT"}"#));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(signed.as_bytes());
    Ok(format!("{signed}.{}", encode(&mac.finalize().into_bytes())))
}
