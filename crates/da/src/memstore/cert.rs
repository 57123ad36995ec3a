//! Certificates as the proxy's memstore makes them: random, but of the shape every parser of V4 accepts.

use alloy_primitives::{Bytes, U256, keccak256};
use alloy_rlp::{Encodable, Header, RlpEncodable};
use rand::Rng;

/// The byte before the RLP: a V4 certificate.
pub(super) const VERSION_V4: u8 = 0x03;
/// Reference blocks start here, so that no recency check ever fails.
const FAR_FUTURE_BLOCK: u32 = 4_294_967_200;

#[derive(RlpEncodable)]
struct G1 {
    x: U256,
    y: U256,
}

#[derive(RlpEncodable)]
struct G2 {
    x: Vec<U256>,
    y: Vec<U256>,
}

#[derive(RlpEncodable)]
struct BatchHeader {
    root: [u8; 32],
    reference_block: u32,
}

#[derive(RlpEncodable)]
struct BlobCommitment {
    data: G1,
    length: G2,
    length_proof: G2,
    length_symbols: u32,
}

#[derive(RlpEncodable)]
struct BlobHeader {
    version: u16,
    quorums: Bytes,
    commitment: BlobCommitment,
    payment_header: [u8; 32],
}

#[derive(RlpEncodable)]
struct BlobCertificate {
    header: BlobHeader,
    signature: Bytes,
    relays: Vec<u32>,
}

#[derive(RlpEncodable)]
struct Inclusion {
    certificate: BlobCertificate,
    index: u32,
    proof: Bytes,
}

struct NonSigners {
    bitmap_indices: Vec<u32>,
    pubkeys: Vec<G1>,
    quorum_apks: Vec<G1>,
    apk: G2,
    sigma: G1,
    apk_indices: Vec<u32>,
    total_stake_indices: Vec<u32>,
    stake_indices: Vec<Vec<u32>>,
}

impl NonSigners {
    fn fields(&self) -> [&dyn Encodable; 8] {
        [
            &self.bitmap_indices,
            &self.pubkeys,
            &self.quorum_apks,
            &self.apk,
            &self.sigma,
            &self.apk_indices,
            &self.total_stake_indices,
            &self.stake_indices,
        ]
    }
}

impl Encodable for NonSigners {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        let payload_length = self.fields().iter().map(|field| field.length()).sum();
        Header { list: true, payload_length }.encode(out);
        for field in self.fields() {
            field.encode(out);
        }
    }

    fn length(&self) -> usize {
        let payload: usize = self.fields().iter().map(|field| field.length()).sum();
        payload + alloy_rlp::length_of_length(payload)
    }
}

#[derive(RlpEncodable)]
struct Certificate {
    batch: BatchHeader,
    inclusion: Inclusion,
    non_signers: NonSigners,
    signed_quorums: Bytes,
    derivation_version: u16,
}

/// The generator of BN254's G1: a point on the curve, and nobody's commitment.
fn fixed_point() -> G1 {
    G1 { x: U256::from(1), y: U256::from(2) }
}

/// RLP of a fresh V4 certificate for a blob of this many field elements.
pub(super) fn random_v4(length_symbols: u32) -> Vec<u8> {
    let mut rng = rand::rng();
    let mut small = |bound: u32| rng.random_range(1..bound);
    let indices = |small: &mut dyn FnMut(u32) -> u32| vec![small(1000), small(1000)];
    let mut point = |bound: u32| G1 { x: U256::from(small(bound)), y: U256::from(small(bound)) };
    let points = [point(1000), point(1000), point(1000)];
    let [pubkey, apk, sigma] = points;
    let mut pair = || vec![U256::from(small(1000)), U256::from(small(1000))];
    let (length, length_proof, apk2) =
        (G2 { x: pair(), y: pair() }, G2 { x: pair(), y: pair() }, G2 { x: pair(), y: pair() });
    let non_signers = NonSigners {
        bitmap_indices: indices(&mut small),
        pubkeys: vec![pubkey],
        quorum_apks: vec![apk],
        apk: apk2,
        sigma,
        apk_indices: indices(&mut small),
        total_stake_indices: indices(&mut small),
        stake_indices: vec![indices(&mut small), indices(&mut small)],
    };
    let relays = indices(&mut small);
    let index = small(1000);
    let certificate = Certificate {
        batch: BatchHeader {
            root: rng.random(),
            reference_block: FAR_FUTURE_BLOCK + rng.random_range(0..32),
        },
        inclusion: Inclusion {
            certificate: BlobCertificate {
                header: BlobHeader {
                    version: 0,
                    quorums: Bytes::from_static(&[0, 1]),
                    commitment: BlobCommitment { data: fixed_point(), length, length_proof, length_symbols },
                    payment_header: rng.random(),
                },
                signature: random_bytes(48),
                relays,
            },
            index,
            proof: random_bytes(128),
        },
        non_signers,
        signed_quorums: Bytes::new(),
        derivation_version: 0,
    };
    alloy_rlp::encode(certificate)
}

fn random_bytes(count: usize) -> Bytes {
    let mut bytes = vec![0; count];
    rand::rng().fill(bytes.as_mut_slice());
    bytes.into()
}

/// What the store files a payload under: the hash of its certificate's RLP.
pub(super) fn key(rlp: &[u8]) -> [u8; 32] {
    keccak256(rlp).0
}
