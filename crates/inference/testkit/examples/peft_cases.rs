//! Writes what `tests/python/peft_golden.py` reads: models and adapters of every case, as folders.
//!
//! `peft_cases FOLDER`

use serde_json::json;
use std::{error::Error, fs, path::Path};
use tributary_adapters::{CONFIG_FILE, TENSORS_FILE};
use tributary_testkit::{artifact, peft_cases, write_model};

/// Token ids of the tiny vocabulary that every case is run on.
const TOKENS: [u32; 24] = [
    84, 104, 101, 32, 113, 117, 105, 99, 107, 257, 98, 114, 111, 119, 110, 10, 102, 111, 120, 0, 255, 46,
    258, 33,
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("peft_cases FOLDER")?;
    let folder = Path::new(&folder);
    let mut cases = Vec::new();
    for case in peft_cases() {
        let model = folder.join(if case.biased { "biased" } else { "plain" });
        fs::create_dir_all(&model)?;
        write_model(&model, case.model, case.biased)?;
        let mut adapters = Vec::new();
        for (index, (spec, weight)) in case.adapters.iter().enumerate() {
            let artifact = artifact(spec);
            let name = format!("{}-{index}", case.name.replace(' ', "-"));
            let to = folder.join(&name);
            fs::create_dir_all(&to)?;
            fs::write(to.join(CONFIG_FILE), artifact.config())?;
            fs::write(to.join(TENSORS_FILE), artifact.tensors())?;
            adapters.push(json!({ "folder": name, "weight": weight, "hash": artifact.hash() }));
        }
        cases.push(json!({ "name": case.name, "model": model.file_name().and_then(|name| name.to_str()), "adapters": adapters }));
    }
    fs::write(folder.join("cases.json"), json!({ "tokens": TOKENS, "cases": cases }).to_string())?;
    Ok(())
}
