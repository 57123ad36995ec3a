//! RLP as certificates use it: strings and lists, strictly canonical.

/// An RLP value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Bytes(Vec<u8>),
    List(Vec<Item>),
}

/// Deeper than any certificate.
const MAX_DEPTH: usize = 12;

impl Item {
    /// An unsigned integer: minimal big-endian, zero is empty.
    pub(crate) fn uint(value: u64) -> Self {
        let bytes = value.to_be_bytes();
        Self::Bytes(bytes[(value.leading_zeros() / 8) as usize..].to_vec())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) if bytes.len() == 1 && bytes[0] < 0x80 => bytes.clone(),
            Self::Bytes(bytes) => [head(0x80, bytes.len()), bytes.clone()].concat(),
            Self::List(items) => {
                let payload: Vec<u8> = items.iter().flat_map(Self::encode).collect();
                [head(0xc0, payload.len()), payload].concat()
            }
        }
    }

    /// Decodes exactly one value; `None` when the bytes are anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (item, rest) = decode(bytes, 0)?;
        rest.is_empty().then_some(item)
    }

    pub(crate) fn list(&self) -> Option<&[Item]> {
        match self {
            Self::List(items) => Some(items),
            Self::Bytes(_) => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) if bytes.len() <= 8 && bytes.first() != Some(&0) => {
                Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            _ => None,
        }
    }
}

fn head(base: u8, len: usize) -> Vec<u8> {
    if len < 56 {
        return vec![base + len as u8];
    }
    let bytes = (len as u64).to_be_bytes();
    let bytes = &bytes[(len as u64).leading_zeros() as usize / 8..];
    [&[base + 55 + bytes.len() as u8], bytes].concat()
}

fn decode(bytes: &[u8], depth: usize) -> Option<(Item, &[u8])> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((Item::Bytes(vec![first]), &bytes[1..]));
    }
    let base = if first < 0xc0 { 0x80 } else { 0xc0 };
    let (len, rest) = length(first - base, &bytes[1..])?;
    let (payload, rest) = rest.split_at_checked(len)?;
    if base == 0x80 {
        let minimal = payload.len() != 1 || payload[0] >= 0x80;
        return minimal.then(|| (Item::Bytes(payload.to_vec()), rest));
    }
    if depth == MAX_DEPTH {
        return None;
    }
    let mut items = Vec::new();
    let mut payload = payload;
    while !payload.is_empty() {
        let (item, after) = decode(payload, depth + 1)?;
        items.push(item);
        payload = after;
    }
    Some((Item::List(items), rest))
}

fn length(code: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    if code < 56 {
        return Some((usize::from(code), rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(code - 55))?;
    if digits.first() == Some(&0) {
        return None;
    }
    let len = digits.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    (len >= 56).then_some((usize::try_from(len).ok()?, rest))
}
