//! Documents as files that a contribution's uri can name: tokens, and beside them the text and where each token stands in it.

use std::path::Path;

use alloy_primitives::{B256, keccak256};
use eyre::{Context, OptionExt, Result, ensure};
use tributary_record::{MAX_CONTRIBUTION_TOKENS, token_bytes, tokens_root};
use tributary_trace::display::Positions;
use tributary_weights::Tokenizer;
use url::Url;

/// Bytes of the largest document that is read.
pub(crate) const MAX_DOCUMENT: u64 = 1 << 20;

/// A document ready to be put on chain.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) content_hash: B256,
    pub(crate) tokens_root: B256,
    pub(crate) tokens: u64,
    pub(crate) uri: String,
}

/// Tokenizes a text and writes its three files into `folder`. `base` is where others find that folder; without it the uri
/// is the file's own path.
pub(crate) fn prepare(
    tokenizer: &Tokenizer,
    text: &str,
    folder: &Path,
    base: Option<&Url>,
) -> Result<Prepared> {
    let tokens = tokenizer.encode(text)?;
    let max = MAX_CONTRIBUTION_TOKENS;
    let root = tokens_root(&tokens)
        .ok_or_else(|| eyre::eyre!("a document has 1 to {max} tokens, this one {}", tokens.len()))?;
    let offsets = offsets(tokenizer, text, &tokens)?;
    let positions = Positions::new(&offsets).ok_or_eyre("a document is smaller than 4 GiB")?;
    let content_hash = keccak256(text);
    // Two texts may have the same tokens; two contributions of one text share their files.
    let name = format!("{content_hash}");
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    for (suffix, bytes) in
        [("txt", text.as_bytes()), ("positions", &positions.to_bytes()), ("tokens", &token_bytes(&tokens))]
    {
        write_whole(&folder.join(format!("{name}.{suffix}")), bytes)?;
    }
    let uri = match base {
        Some(base) => base.join(&format!("{name}.tokens"))?.to_string(),
        None => file_uri(&folder.join(format!("{name}.tokens")))?,
    };
    ensure!(uri.len() <= 256, "{uri}: a uri has at most 256 bytes");
    Ok(Prepared { content_hash, tokens_root: root, tokens: tokens.len() as u64, uri })
}

/// The bytes of the text that each token covers: a byte-level vocabulary writes every byte exactly once.
fn offsets(tokenizer: &Tokenizer, text: &str, tokens: &[u32]) -> Result<Vec<(usize, usize)>> {
    let mut end = 0;
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        let bytes =
            tokenizer.token_bytes(*token).ok_or_eyre("the tokenizer made a token it does not know")?;
        ensure!(
            text.as_bytes().get(end..end + bytes.len()) == Some(bytes),
            "the tokenizer changes this text"
        );
        offsets.push((end, end + bytes.len()));
        end += bytes.len();
    }
    ensure!(end == text.len(), "the tokenizer drops the end of this text");
    Ok(offsets)
}

/// The uri of a file or folder on this machine.
pub(crate) fn file_uri(path: &Path) -> Result<String> {
    let path = path.canonicalize().wrap_err_with(|| format!("{}", path.display()))?;
    Ok(Url::from_file_path(&path)
        .map_err(|()| eyre::eyre!("{}: no absolute path", path.display()))?
        .to_string())
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}
