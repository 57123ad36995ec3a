//! Writes `genesis/dev.json`.

use std::{fs, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev.json");
    fs::write(&path, tributary_genesis::dev_genesis()?)?;
    println!("{}", path.display());
    Ok(())
}
