//! Revert data in words.

use alloy_sol_types::SolInterface;

use crate::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement};

/// The custom error that revert data carries, such as `UnknownModel { id: 5 }`; `None` for anything else.
#[must_use]
pub fn decode_error(data: &[u8]) -> Option<String> {
    shown::<IDatanets::IDatanetsErrors>(data)
        .or_else(|| shown::<IModels::IModelsErrors>(data))
        .or_else(|| shown::<IAgents::IAgentsErrors>(data))
        .or_else(|| shown::<ISettlement::ISettlementErrors>(data))
        .or_else(|| shown::<IAttribution::IAttributionErrors>(data))
        .or_else(|| shown::<IParams::IParamsErrors>(data))
}

/// `Name(Name { field: value })` without the variant around it.
fn shown<E: SolInterface + std::fmt::Debug>(data: &[u8]) -> Option<String> {
    let error = E::abi_decode(data).ok()?;
    let text = format!("{error:?}");
    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    Some(inner.unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolError;

    use super::decode_error;
    use crate::{IModels, ISettlement};

    #[test]
    fn custom_errors_are_named_with_their_arguments() {
        let unknown = IModels::UnknownModel { id: 5 }.abi_encode();
        assert_eq!(decode_error(&unknown).as_deref(), Some("UnknownModel { id: 5 }"));
        let bare = ISettlement::BadProof {}.abi_encode();
        assert_eq!(decode_error(&bare).as_deref(), Some("BadProof"));
        assert_eq!(decode_error(&[]), None);
        assert_eq!(decode_error(b"\x08\xc3\x79\xa0"), None);
    }
}
