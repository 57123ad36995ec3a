//! Who a node is: one secp256k1 key gives its enode, its ENR, its libp2p peer id.

use std::{
    fmt,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    str::FromStr,
};

use alloy_primitives::{B256, B512, keccak256};
use enr::{Enr, secp256k1};
use libp2p::{
    Multiaddr, PeerId,
    identity::{Keypair, PublicKey, secp256k1 as key},
    multiaddr::Protocol,
};
use tributary_io::FileError;

use crate::NetworkError;

/// `opstack` in an ENR: chain id, then version 0, as unsigned varints.
const OPSTACK: &str = "opstack";
const ENODE_MAX: usize = 1_024;
/// Largest file with a key: one in hex, and room for some space around it.
const MAX_FILE: u64 = 4 << 10;

/// The key of a node.
#[derive(Clone)]
pub struct NodeKey(key::Keypair);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeKey").field(&self.public().node_id()).finish()
    }
}

impl NodeKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(key::Keypair::generate())
    }

    /// The key in a file, 32 bytes in hex; made if the file is missing.
    pub fn load_or_create(path: &Path) -> Result<Self, NetworkError> {
        let fault = |tried, why: String| NetworkError::KeyFile(tried, path.display().to_string(), why);
        match tributary_io::read(path, MAX_FILE) {
            Ok(text) => String::from_utf8_lossy(&text)
                .parse()
                .map_err(|_: NetworkError| fault("use", "32 bytes in hex wanted".to_owned())),
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Self::create(path).map_err(|error| fault("make", error.to_string()))
            }
            Err(FileError::Io(error)) => Err(fault("read", error.to_string())),
            Err(error) => Err(fault("read", format!("{error}; 32 bytes in hex wanted"))),
        }
    }

    /// A new one, in a file.
    fn create(path: &Path) -> io::Result<Self> {
        let key = Self::generate();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = private_file(path)?;
        file.write_all(hex::encode(key.0.secret().to_bytes()).as_bytes())?;
        file.sync_all()?;
        Ok(key)
    }

    /// What others know of it.
    pub fn public(&self) -> NodePublicKey {
        NodePublicKey(self.0.public().clone())
    }

    pub(crate) fn keypair(&self) -> Keypair {
        self.0.clone().into()
    }

    /// The signed record that tells where the node is.
    pub fn record(&self, chain_id: u64, address: SocketAddr) -> Result<String, NetworkError> {
        let secret = secp256k1::SecretKey::from_byte_array(&self.0.secret().to_bytes())
            .map_err(|error| NetworkError::Address(error.to_string()))?;
        let mut opstack = varint(chain_id);
        opstack.extend(varint(0));
        let mut builder = Enr::builder();
        builder.ip(address.ip()).add_value(OPSTACK, &opstack.as_slice());
        match address.ip() {
            IpAddr::V4(_) => builder.tcp4(address.port()).udp4(address.port()),
            IpAddr::V6(_) => builder.tcp6(address.port()).udp6(address.port()),
        };
        let record = builder.build(&secret).map_err(|error| NetworkError::Address(error.to_string()))?;
        Ok(record.to_base64())
    }
}

impl FromStr for NodeKey {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| NetworkError::Address("a key is 32 bytes in hex".to_owned()))?;
        let secret = key::SecretKey::try_from_bytes(bytes)
            .map_err(|_| NetworkError::Address("not a key of secp256k1".to_owned()))?;
        Ok(Self(key::Keypair::from(secret)))
    }
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The public key of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodePublicKey(key::PublicKey);

impl NodePublicKey {
    /// The key in a peer id, if it is there and on secp256k1.
    pub fn from_peer_id(peer: &PeerId) -> Option<Self> {
        let multihash = peer.as_ref();
        (multihash.code() == 0).then_some(())?;
        let public = PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
        public.try_into_secp256k1().ok().map(Self)
    }

    /// As libp2p names it.
    pub fn peer_id(&self) -> PeerId {
        PublicKey::from(self.0.clone()).to_peer_id()
    }

    /// As execution clients name it: the hash of the key.
    pub fn node_id(&self) -> B256 {
        keccak256(self.uncompressed())
    }

    fn uncompressed(&self) -> B512 {
        B512::from_slice(&self.0.to_bytes_uncompressed()[1..])
    }

    fn from_uncompressed(bytes: B512) -> Option<Self> {
        let mut tagged = [4; 65];
        tagged[1..].copy_from_slice(bytes.as_slice());
        // The compressed form is what libp2p reads.
        let parsed = secp256k1::PublicKey::from_slice(&tagged).ok()?;
        key::PublicKey::try_from_bytes(&parsed.serialize()).ok().map(Self)
    }
}

/// Where a node is, as execution clients write it: `enode://<key>@<ip>:<port>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enode {
    /// Its key.
    pub key: NodePublicKey,
    /// Its address.
    pub address: SocketAddr,
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enode://{}@{}", hex::encode(self.key.uncompressed()), self.address)
    }
}

/// A peer somebody named: by enode, ENR or multiaddress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who.
    pub peer: PeerId,
    /// Where, if it was told.
    pub address: Option<Multiaddr>,
}

impl FromStr for PeerAddress {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        let wrong = |why: &str| NetworkError::Address(why.to_owned());
        if text.len() > ENODE_MAX {
            return Err(wrong("too long"));
        }
        if let Some(rest) = text.strip_prefix("enode://") {
            enode(rest).ok_or_else(|| wrong("an enode is enode://<128 hex digits>@<ip>:<port>"))
        } else if text.starts_with("enr:") {
            let record: Enr<secp256k1::SecretKey> =
                text.parse().map_err(|error: String| NetworkError::Address(error))?;
            record_address(&record).ok_or_else(|| wrong("the record has no key of secp256k1"))
        } else {
            let address: Multiaddr =
                text.parse().map_err(|_| wrong("neither enode, ENR nor multiaddress"))?;
            with_peer(address).ok_or_else(|| wrong("a multiaddress ends in /p2p/<peer id>"))
        }
    }
}

fn enode(rest: &str) -> Option<PeerAddress> {
    let (key, address) = rest.split_once('@')?;
    let key = NodePublicKey::from_uncompressed(key.parse().ok()?)?;
    // `?discport=` concerns discovery only.
    let address: SocketAddr = address.split('?').next()?.parse().ok()?;
    Some(PeerAddress { peer: key.peer_id(), address: Some(tcp(address)) })
}

fn record_address(record: &Enr<secp256k1::SecretKey>) -> Option<PeerAddress> {
    let key = key::PublicKey::try_from_bytes(&record.public_key().serialize()).ok().map(NodePublicKey)?;
    let v4 = record.tcp4_socket().map(SocketAddr::V4);
    let address = v4.or_else(|| record.tcp6_socket().map(SocketAddr::V6)).map(tcp);
    Some(PeerAddress { peer: key.peer_id(), address })
}

fn with_peer(mut address: Multiaddr) -> Option<PeerAddress> {
    let Some(Protocol::P2p(peer)) = address.pop() else { return None };
    Some(PeerAddress { peer, address: (!address.is_empty()).then_some(address) })
}

/// A TCP address as libp2p writes it.
pub(crate) fn tcp(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The TCP address in a multiaddress, if it has one.
pub(crate) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// What others can dial where a node listens everywhere: the loopback, unless more is known.
pub(crate) fn dialable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";

    #[test]
    fn names_are_those_of_the_vectors() {
        // EIP-778's key and node id.
        let key: NodeKey = SECRET.parse().unwrap();
        assert_eq!(
            hex::encode(key.public().node_id()),
            "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
        );
    }

    #[test]
    fn every_spelling_names_the_same_peer() {
        let key: NodeKey = SECRET.parse().unwrap();
        let address: SocketAddr = "127.0.0.1:30303".parse().unwrap();
        let enode = Enode { key: key.public(), address };
        let by_enode: PeerAddress = enode.to_string().parse().unwrap();
        let by_record: PeerAddress = key.record(10, address).unwrap().parse().unwrap();
        let multiaddress = tcp(address).with(Protocol::P2p(by_enode.peer));
        let by_multiaddress: PeerAddress = multiaddress.to_string().parse().unwrap();
        assert_eq!(by_enode, by_record);
        assert_eq!(by_enode, by_multiaddress);
        assert_eq!(NodePublicKey::from_peer_id(&by_enode.peer).unwrap(), key.public());
        assert_eq!(socket(&by_enode.address.unwrap()), Some(address));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = "x".repeat(2_000);
        for text in
            ["", "enode://", "enode://00@1.2.3.4:5", "enr:-abc", "/ip4/1.2.3.4/tcp/5", "http://x", &long]
        {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
        let zero = format!("enode://{}@127.0.0.1:1", "0".repeat(128));
        assert!(zero.parse::<PeerAddress>().is_err(), "not on the curve");
    }

    #[test]
    fn a_key_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/discovery-secret");
        let first = NodeKey::load_or_create(&path).unwrap();
        let second = NodeKey::load_or_create(&path).unwrap();
        assert_eq!(first.public(), second.public());
        std::fs::write(&path, "zz").unwrap();
        for (bad, tried) in [(path, "use"), (folder.path().to_owned(), "read"), ("/proc/key".into(), "make")]
        {
            let error = NodeKey::load_or_create(&bad).err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("cannot {tried} the node's key {}: ", bad.display())),
                "{error}"
            );
        }
    }

    /// A device was read until no memory was left.
    #[test]
    fn a_key_is_in_a_small_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b' '; 4097]).unwrap();
        for (path, why) in
            [(large.as_path(), "larger than 4096 bytes"), (Path::new("/dev/zero"), "not a regular file")]
        {
            let error = NodeKey::load_or_create(path).err().unwrap().to_string();
            let wanted =
                format!("cannot read the node's key {}: {why}; 32 bytes in hex wanted", path.display());
            assert_eq!(error, wanted);
        }
    }

    #[test]
    fn varints_are_unsigned_leb128() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(901), [0x85, 0x07]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }
}
