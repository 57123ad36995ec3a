//! `payload_by_number`: one block of the canonical chain, as op-nodes ask for it.
//!
//! ```text
//! request   number u64 LE
//! response  0 ‖ version u32 LE (0 before Ecotone) ‖ snappy frames of SSZ     or     1 not found, 2 invalid, 3 other
//! ```

use std::io::{self, Read, Write};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response::Codec};

use crate::payload::MAX_PAYLOAD;

/// Compressed frames of the largest payload that cannot be compressed, and the head of the answer.
const MAX_ANSWER: u64 = MAX_PAYLOAD as u64 + (MAX_PAYLOAD as u64 >> 6) + 64;

/// A request that says nothing, and which its sender should not have sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed request: {0}")]
pub(crate) struct Malformed(pub(crate) String);

/// What was asked for, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ByNumberAnswer {
    Payload { with_root: bool, bytes: Vec<u8> },
    NotFound,
    Refused(u8),
}

/// The protocol's name on a chain.
pub(crate) fn protocol(chain_id: u64) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/opstack/req/payload_by_number/{chain_id}/0"))
        .unwrap_or(StreamProtocol::new("/opstack/req/payload_by_number"))
}

/// What is read is written and read the same.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(answer) = parse(bytes) {
        let again = print(&answer).and_then(|bytes| parse(&bytes));
        assert_eq!(again.ok(), Some(answer));
    }
}

/// Reads and writes both.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ByNumberCodec;

impl Codec for ByNumberCodec {
    type Protocol = StreamProtocol;
    type Request = Result<u64, Malformed>;
    type Response = ByNumberAnswer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Result<u64, Malformed>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(9).read_to_end(&mut bytes).await?;
        Ok(bytes
            .try_into()
            .map(u64::from_le_bytes)
            .map_err(|bytes: Vec<u8>| Malformed(format!("{} bytes", bytes.len()))))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<ByNumberAnswer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
        parse(&bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        number: Self::Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let number = number.map_err(io::Error::other)?;
        io.write_all(&number.to_le_bytes()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: ByNumberAnswer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&print(&answer)?).await
    }
}

fn print(answer: &ByNumberAnswer) -> io::Result<Vec<u8>> {
    Ok(match answer {
        ByNumberAnswer::Payload { with_root, bytes } => {
            let mut out = vec![0, u8::from(*with_root), 0, 0, 0];
            let mut frames = snap::write::FrameEncoder::new(&mut out);
            frames.write_all(bytes)?;
            frames.flush()?;
            drop(frames);
            out
        }
        ByNumberAnswer::NotFound => vec![1],
        ByNumberAnswer::Refused(code) => vec![*code],
    })
}

fn parse(bytes: &[u8]) -> io::Result<ByNumberAnswer> {
    let malformed = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let (code, rest) = bytes.split_first().ok_or_else(|| malformed("an empty answer"))?;
    match code {
        0 => {}
        1 => return Ok(ByNumberAnswer::NotFound),
        code => return Ok(ByNumberAnswer::Refused(*code)),
    }
    let (version, frames) = rest.split_first_chunk::<4>().ok_or_else(|| malformed("no version"))?;
    let with_root = match u32::from_le_bytes(*version) {
        0 => false,
        1 => true,
        _ => return Err(malformed("unknown version")),
    };
    let mut payload = Vec::new();
    snap::read::FrameDecoder::new(frames).take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut payload)?;
    if payload.len() > MAX_PAYLOAD {
        return Err(malformed("larger than a payload may be"));
    }
    Ok(ByNumberAnswer::Payload { with_root, bytes: payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_the_wire() {
        for answer in [
            ByNumberAnswer::Payload { with_root: true, bytes: (0..200_000).map(|n| n as u8).collect() },
            ByNumberAnswer::Payload { with_root: false, bytes: Vec::new() },
            ByNumberAnswer::NotFound,
            ByNumberAnswer::Refused(3),
        ] {
            assert_eq!(parse(&print(&answer).unwrap()).unwrap(), answer);
        }
    }

    #[test]
    fn hostile_answers_are_errors() {
        let mut bomb = vec![0, 1, 0, 0, 0];
        let mut frames = snap::write::FrameEncoder::new(&mut bomb);
        frames.write_all(&vec![0; MAX_PAYLOAD + 1]).unwrap();
        drop(frames);
        for bytes in [&[][..], &[0], &[0, 9, 0, 0, 0], &[0, 1, 0, 0, 0, 1, 2, 3], &bomb] {
            assert!(parse(bytes).is_err());
        }
    }
}
