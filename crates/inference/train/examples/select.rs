//! Prints entries of an installed dictionary that an adapter could be trained on.
//!
//! `select devil 160 320 120`: shortest and longest text in bytes, how many.

use std::path::Path;

use tributary_train::corpus::{LengthRange, Source, candidates, dictd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, min, max, count] = arguments.as_slice() else {
        return Err("select SOURCE MIN MAX COUNT".into());
    };
    let source: Source = serde_json::from_value(name.as_str().into())?;
    let documents = source.documents(Path::new(dictd::DEBIAN_FOLDER))?;
    let length = LengthRange { min: min.parse()?, max: max.parse()? };
    for document in candidates(&documents, length, count.parse()?) {
        println!("{}\t{}", document.headword, document.text);
    }
    Ok(())
}
