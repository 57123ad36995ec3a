//! Keys come from an encrypted keystore or a key file; never from a flag's value, never into a log.

use std::{
    io::{IsTerminal, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use alloy_primitives::B256;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use eyre::{Context, Result, bail, ensure};

use super::keystore::check_keystore;
use crate::files::{read_bounded, read_text};

/// The mnemonic of the dev chain's accounts, known to everyone.
const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Largest key file that is read: a keystore is a few hundred bytes.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// The `index`-th well-known account of a dev chain.
pub(crate) fn dev_signer(index: u32) -> Result<PrivateKeySigner> {
    Ok(MnemonicBuilder::<English>::default().phrase(DEV_MNEMONIC).index(index)?.build()?)
}

/// Reads a key: an encrypted keystore (JSON), or a file with 32 bytes in hex.
pub(crate) fn load_signer(path: &Path, password_file: Option<&Path>) -> Result<PrivateKeySigner> {
    let bytes = read_bounded(path, MAX_KEY_FILE).wrap_err_with(|| format!("key file {}", path.display()))?;
    // The error of the parser would quote the key.
    let no_key = || eyre::eyre!("key file {}: neither a keystore nor 32 bytes in hex", path.display());
    let text = String::from_utf8(bytes).map_err(|_| no_key())?;
    if text.trim_start().starts_with('{') {
        check_keystore(&text).wrap_err_with(|| format!("keystore {}", path.display()))?;
        let password = password(password_file, "Password of the keystore: ")?;
        return PrivateKeySigner::decrypt_keystore(path, password)
            .map_err(|_| eyre::eyre!("keystore {}: wrong password, or not a keystore", path.display()));
    }
    let key: B256 = text.trim().parse().map_err(|_| no_key())?;
    PrivateKeySigner::from_bytes(&key)
        .map_err(|_| eyre::eyre!("key file {}: not a secp256k1 key", path.display()))
}

/// Writes a new keystore; fresh randomness, or an existing key to import.
pub(crate) fn new_keystore(
    path: &Path,
    password_file: Option<&Path>,
    key: Option<&PrivateKeySigner>,
) -> Result<PrivateKeySigner> {
    ensure!(!path.exists(), "{} is there already", path.display());
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&directory).wrap_err_with(|| format!("cannot make {}", directory.display()))?;
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        bail!("{}: not a file name", path.display());
    };
    let chosen = password(password_file, "Password of the new keystore: ")?;
    if password_file.is_none() {
        ensure!(password(None, "The same again: ")? == chosen, "the two passwords differ");
    }
    let signer = key.cloned().unwrap_or_else(PrivateKeySigner::random);
    PrivateKeySigner::encrypt_keystore(
        &directory,
        &mut rand08::rngs::OsRng,
        signer.to_bytes(),
        chosen,
        Some(name),
    )
    .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .wrap_err_with(|| format!("cannot keep others from reading {}", path.display()))?;
    Ok(signer)
}

fn password(file: Option<&Path>, prompt: &str) -> Result<String> {
    if let Some(file) = file {
        let text =
            read_text(file, MAX_KEY_FILE).wrap_err_with(|| format!("password file {}", file.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    ensure!(
        std::io::stdin().is_terminal(),
        "the keystore needs a password: name a file with --password-file or TRIBUTARY_PASSWORD_FILE (a node: --operator.password-file)"
    );
    std::io::stderr().write_all(prompt.as_bytes())?;
    Ok(rpassword::read_password()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystore_made_here_is_read_and_a_hostile_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, password) = (folder.path().join("key"), folder.path().join("password"));
        std::fs::write(&password, "secret\n").unwrap();
        let made = new_keystore(&path, Some(&password), None).unwrap();
        assert_eq!(load_signer(&path, Some(&password)).unwrap().address(), made.address());
        let good = std::fs::read_to_string(&path).unwrap();
        let bad = good.replace("\"dklen\":32", "\"dklen\":4");
        assert_ne!(good, bad);
        std::fs::write(&path, bad).unwrap();
        let error = load_signer(&path, Some(&password)).unwrap_err();
        assert!(format!("{error:#}").ends_with("dklen has 4 bytes, not 32"), "{error:#}");
        assert!(load_signer(Path::new("/dev/zero"), None).is_err());
    }
}
