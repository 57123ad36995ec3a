//! Blocks from one Tributary node to another: headers backwards from a hash, then the blocks of known hashes.
//!
//! ```text
//! request   RLP [0, hash, count]     headers of `hash` and its ancestors, nearest first
//!           RLP [1, [hash, ...]]     blocks of these hashes, as far as they are known and fit
//! response  snappy(RLP [item, ...])
//! ```
//!
//! Whoever asks knows the hashes, so nothing in an answer needs to be believed.

use std::io;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header as RlpHeader};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response::Codec};
use tributary_spec::{Block, ChainSpec, Header};

use crate::by_number::Malformed;

/// Most headers of an answer.
pub(crate) const MAX_HEADERS: u64 = 1_024;
/// Most hashes of a request for blocks.
pub(crate) const MAX_BLOCKS: usize = 256;
/// An answer is not continued beyond so many bytes; the first block comes always.
pub(crate) const SOFT_LIMIT: usize = 4 << 20;
/// No answer is larger: one block of the largest kind, and some.
const MAX_ANSWER: usize = 24 << 20;
const MAX_REQUEST: u64 = 16 << 10;

/// What a node asks another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeRequest {
    Headers { hash: B256, count: u64 },
    Blocks(Vec<B256>),
}

/// Headers or blocks, as they were asked for, in RLP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeAnswer(pub(crate) Vec<Bytes>);

/// The protocol's name on a chain: another genesis is another chain.
pub(crate) fn protocol(spec: &ChainSpec) -> StreamProtocol {
    let genesis = spec.genesis_hash();
    StreamProtocol::try_from_owned(format!("/tributary/{}/{genesis}/blocks/1", spec.chain_id()))
        .unwrap_or(StreamProtocol::new("/tributary/blocks/1"))
}

impl RangeAnswer {
    /// As headers.
    pub(crate) fn headers(&self) -> Result<Vec<Header>, alloy_rlp::Error> {
        self.0.iter().map(|item| exact(item)).collect()
    }

    /// As blocks.
    pub(crate) fn blocks(&self) -> Result<Vec<Block>, alloy_rlp::Error> {
        self.0.iter().map(|item| exact(item)).collect()
    }
}

fn exact<T: Decodable>(mut bytes: &[u8]) -> Result<T, alloy_rlp::Error> {
    let item = T::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(item) } else { Err(alloy_rlp::Error::UnexpectedLength) }
}

impl RangeRequest {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Headers { hash, count } => {
                0u8.encode(&mut body);
                hash.encode(&mut body);
                count.encode(&mut body);
            }
            Self::Blocks(hashes) => {
                1u8.encode(&mut body);
                hashes.encode(&mut body);
            }
        }
        list(&body)
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, alloy_rlp::Error> {
        let mut body = RlpHeader::decode_bytes(&mut bytes, true)?;
        let request = match u8::decode(&mut body)? {
            0 => Self::Headers { hash: B256::decode(&mut body)?, count: u64::decode(&mut body)? },
            1 => Self::Blocks(Vec::decode(&mut body)?),
            _ => return Err(alloy_rlp::Error::Custom("unknown kind")),
        };
        match &request {
            _ if !bytes.is_empty() || !body.is_empty() => Err(alloy_rlp::Error::UnexpectedLength),
            Self::Headers { count, .. } if !(1..=MAX_HEADERS).contains(count) => {
                Err(alloy_rlp::Error::Custom("headers: count"))
            }
            Self::Blocks(hashes) if hashes.is_empty() || hashes.len() > MAX_BLOCKS => {
                Err(alloy_rlp::Error::Custom("blocks: count"))
            }
            _ => Ok(request),
        }
    }
}

fn list(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 9);
    RlpHeader { list: true, payload_length: body.len() }.encode(&mut out);
    out.extend_from_slice(body);
    out
}

fn print(answer: &RangeAnswer) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    answer.0.encode(&mut plain);
    snap::raw::Encoder::new().compress_vec(&plain).map_err(io::Error::other)
}

fn parse(bytes: &[u8]) -> io::Result<RangeAnswer> {
    let plain = crate::gossip::decompress(bytes, MAX_ANSWER)?;
    exact(&plain).map(RangeAnswer).map_err(invalid)
}

fn invalid(error: alloy_rlp::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// What is read is written as it was.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(request) = RangeRequest::decode(bytes) {
        assert_eq!(RangeRequest::decode(&request.encode()), Ok(request));
    }
    if let Ok(answer) = parse(bytes) {
        let (_, _) = (answer.headers(), answer.blocks());
        let again = print(&answer).and_then(|bytes| parse(&bytes));
        assert_eq!(again.ok(), Some(answer));
    }
}

/// Reads and writes both.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RangeCodec;

impl Codec for RangeCodec {
    type Protocol = StreamProtocol;
    type Request = Result<RangeRequest, Malformed>;
    type Response = RangeAnswer;

    async fn read_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Result<RangeRequest, Malformed>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(MAX_REQUEST).read_to_end(&mut bytes).await?;
        Ok(RangeRequest::decode(&bytes).map_err(|error| Malformed(error.to_string())))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<RangeAnswer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(snap::raw::max_compress_len(MAX_ANSWER) as u64).read_to_end(&mut bytes).await?;
        parse(&bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Self::Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let request = request.map_err(io::Error::other)?;
        io.write_all(&request.encode()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: RangeAnswer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&print(&answer)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_the_wire() {
        let hash = B256::repeat_byte(3);
        for request in
            [RangeRequest::Headers { hash, count: 9 }, RangeRequest::Blocks(vec![hash; MAX_BLOCKS])]
        {
            let bytes = request.encode();
            assert!(bytes.len() as u64 <= MAX_REQUEST);
            assert_eq!(RangeRequest::decode(&bytes).unwrap(), request);
        }
        let answer = RangeAnswer(vec![Bytes::from_static(b"a"), Bytes::new()]);
        assert_eq!(parse(&print(&answer).unwrap()).unwrap(), answer);
    }

    #[test]
    fn requests_beyond_the_limits_are_refused() {
        let hash = B256::ZERO;
        for request in [
            RangeRequest::Headers { hash, count: 0 },
            RangeRequest::Headers { hash, count: MAX_HEADERS + 1 },
            RangeRequest::Blocks(Vec::new()),
            RangeRequest::Blocks(vec![hash; MAX_BLOCKS + 1]),
        ] {
            assert!(RangeRequest::decode(&request.encode()).is_err());
        }
        let mut longer = RangeRequest::Blocks(vec![hash]).encode();
        longer.push(0);
        assert!(RangeRequest::decode(&longer).is_err());
        assert!(RangeRequest::decode(&[]).is_err());
        assert!(parse(&[0xff; 30]).is_err());
    }
}
