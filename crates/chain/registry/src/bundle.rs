//! The bundled data: one line of shared code, then one chain a line.

use std::io::{BufRead, BufReader};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{KnownChain, RegistryError};

static BUNDLE: &[u8] = include_bytes!("../data/superchain.jsonl.zst");

/// Names that others use.
const ALIASES: [(&str, &str); 1] = [("optimism", "op")];

/// The first line.
#[derive(Debug, Deserialize)]
struct Shared {
    codes: Vec<String>,
}

/// What a line is looked for by.
#[derive(Debug, Deserialize)]
struct Name<'a> {
    superchain: &'a str,
    id: &'a str,
}

impl Name<'_> {
    fn full(&self) -> String {
        format!("{}-{}", spelled(self.id), self.superchain)
    }
}

/// With hyphens, whatever the registry's file is called.
pub(crate) fn spelled(id: &str) -> String {
    id.to_ascii_lowercase().replace('_', "-")
}

/// The chain of a name; `None` if the registry has none.
pub fn find(name: &str) -> Result<Option<KnownChain>, RegistryError> {
    let wanted = canonical(name);
    let mut best: Option<(usize, String)> = None;
    let shared = each_line(|line| {
        let found: Name<'_> = serde_json::from_str(line).map_err(bundle)?;
        let rank = if found.full() == wanted { 2 } else { usize::from(spelled(found.id) == wanted) };
        // Superchains come in order of their names, mainnet first.
        if rank > best.as_ref().map_or(0, |(rank, _)| *rank) {
            best = Some((rank, line.to_owned()));
        }
        Ok(())
    })?;
    best.map(|(_, line)| KnownChain::read(&line, shared.codes)).transpose()
}

/// The full names of all chains, in order.
pub fn list() -> Result<Vec<String>, RegistryError> {
    let mut names = Vec::new();
    each_line(|line| {
        names.push(serde_json::from_str::<Name<'_>>(line).map_err(bundle)?.full());
        Ok(())
    })?;
    Ok(names)
}

fn canonical(name: &str) -> String {
    let name = spelled(name);
    let (first, rest) = name.split_once('-').map_or((name.as_str(), ""), |(first, rest)| (first, rest));
    match ALIASES.into_iter().find(|(alias, _)| *alias == first) {
        Some((_, id)) if rest.is_empty() => format!("{id}-mainnet"),
        Some((_, id)) => format!("{id}-{rest}"),
        None => name,
    }
}

fn each_line(mut take: impl FnMut(&str) -> Result<(), RegistryError>) -> Result<Shared, RegistryError> {
    let mut decoder = zstd::Decoder::new(BUNDLE).map_err(bundle)?;
    decoder.window_log_max(27).map_err(bundle)?;
    let mut lines = BufReader::new(decoder).lines();
    let first = lines.next().ok_or_else(|| RegistryError::Bundle("it is empty".to_owned()))?;
    let shared = serde_json::from_str(&first.map_err(bundle)?).map_err(bundle)?;
    lines.try_for_each(|line| take(&line.map_err(bundle)?))?;
    Ok(shared)
}

pub(crate) fn bundle(error: impl std::fmt::Display) -> RegistryError {
    RegistryError::Bundle(error.to_string())
}

/// A part of a line that is read later, if at all.
pub(crate) type Later = Option<Box<RawValue>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_many_spellings() {
        for (name, wanted) in [
            ("optimism", "op-mainnet"),
            ("optimism_sepolia", "op-sepolia"),
            ("OP-Mainnet", "op-mainnet"),
            ("base", "base"),
            ("base_sepolia", "base-sepolia"),
        ] {
            assert_eq!(canonical(name), wanted);
        }
    }
}
