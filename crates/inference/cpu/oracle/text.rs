//! Texts that every Debian machine has once `make setup` ran, and that no adapter of a test was trained on.

use flate2::read::MultiGzDecoder;
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};
use tributary_weights::Tokenizer;

/// Tokens taken of each.
const TOKENS: usize = 20_736;
const LICENCES: &str = "/usr/share/common-licenses";
const JARGON: &str = "/usr/share/dictd/jargon.dict.dz";

/// A text and its tokens.
pub(crate) struct Text {
    pub(crate) name: &'static str,
    pub(crate) tokens: Vec<u32>,
}

/// Both texts.
pub(crate) fn texts(tokenizer: &Tokenizer) -> [Text; 2] {
    [("licences", licences()), ("jargon", jargon())].map(|(name, text)| {
        let mut tokens = tokenizer.encode(&text).expect("tokens");
        assert!(tokens.len() >= TOKENS, "{name} has {} tokens", tokens.len());
        tokens.truncate(TOKENS);
        Text { name, tokens }
    })
}

fn licences() -> String {
    ["GPL-3", "GFDL-1.3", "MPL-1.1", "LGPL-2.1", "GPL-1", "Apache-2.0"]
        .map(|name| Path::new(LICENCES).join(name))
        .map(|path| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .concat()
}

fn jargon() -> String {
    let file = File::open(JARGON).unwrap_or_else(|error| panic!("{JARGON}: {error}; run `make setup`"));
    let mut bytes = Vec::new();
    MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("a dictionary");
    let text = String::from_utf8_lossy(&bytes);
    // Entries start after the introduction; their indentation says nothing.
    let body = text.char_indices().nth(60_000).map_or(&*text, |(at, _)| &text[at..]);
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}
