//! Cases 3 and 4: many connections that ask, each as soon as it was answered. One thread; the requests are made beforehand and the
//! answers looked at only for their length and that they are no errors.

use crate::{
    client::{Client, Usage},
    http,
};
use eyre::{Result, bail, ensure};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Answers a second.
    pub(crate) rate: f64,
    /// The 99th percentile of the answers' times, milliseconds.
    pub(crate) p99: f64,
    /// This program's part of the time on the CPU of both.
    pub(crate) own_share: f64,
}

/// Puts load on a client.
pub(crate) fn run(
    client: &Client,
    name: &str,
    bodies: &[String],
    connections: usize,
    duration: Duration,
) -> Result<Load> {
    let requests = bodies.iter().map(|body| {
        let mut request = http::head(client.http, None, body.len())?;
        request.extend_from_slice(body.as_bytes());
        Ok(request)
    });
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests.collect::<Result<_>>()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(all(client.http, &requests, connections, duration / 4))?;
    let (before, own) = (client.usage()?, Usage::own()?);
    let start = Instant::now();
    let mut times = runtime.block_on(all(client.http, &requests, connections, duration))?;
    let elapsed = start.elapsed().as_secs_f64();
    let (theirs, own) = (client.usage()?.cpu - before.cpu, Usage::own()?.cpu - own.cpu);
    times.sort_unstable();
    ensure!(!times.is_empty(), "no answers");
    let load = Load {
        rate: times.len() as f64 / elapsed,
        p99: f64::from(times[(times.len() - 1) * 99 / 100]) / 1e3,
        own_share: own / (own + theirs).max(f64::EPSILON),
    };
    eprintln!(
        "{:>9} {name}: {:.0} req/s, p99 {:.1} ms, this program {:.0} % of the CPU",
        client.kind.name(),
        load.rate,
        load.p99,
        load.own_share * 100.0
    );
    Ok(load)
}

async fn all(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    duration: Duration,
) -> Result<Vec<u32>> {
    let end = Instant::now() + duration;
    let tasks: Vec<_> = (0..connections)
        .map(|n| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move { one(address, &requests, n, connections, end).await })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

/// One connection: microseconds of each answer.
async fn one(
    address: SocketAddr,
    requests: &[Vec<u8>],
    first: usize,
    step: usize,
    end: Instant,
) -> Result<Vec<u32>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer, mut at) = (Vec::new(), vec![0; 1 << 16], first);
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(&requests[at % requests.len()]).await?;
        answer(&mut stream, &mut buffer).await?;
        times.push(start.elapsed().as_micros() as u32);
        at += step;
    }
    Ok(times)
}

/// Reads one answer.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut filled = 0;
    let mut wanted = None;
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the connection was closed");
        filled += read;
        let answer = &buffer[..filled];
        if wanted.is_none() {
            wanted = framing(answer)?;
        }
        let complete = match wanted {
            Some(Framing::Length(length)) => filled >= length,
            Some(Framing::Chunked) => answer.ends_with(b"\r\n0\r\n\r\n"),
            None => false,
        };
        if complete {
            // Answers begin with their id; an error is among the first fields.
            let error = answer.windows(8).take(600).any(|window| window == b"\"error\":");
            ensure!(!error, "{}", String::from_utf8_lossy(answer));
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    /// Of head and body.
    Length(usize),
    Chunked,
}

/// How the body ends; `None` while the head is not complete.
fn framing(answer: &[u8]) -> Result<Option<Framing>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "{head}");
    for line in head.lines() {
        if let Some(value) = line.strip_prefix("content-length:") {
            return Ok(Some(Framing::Length(end + 4 + value.trim().parse::<usize>()?)));
        }
        if line.starts_with("transfer-encoding:") && line.contains("chunked") {
            return Ok(Some(Framing::Chunked));
        }
    }
    bail!("an answer without a length: {head}")
}
