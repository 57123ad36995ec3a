//! The profile against the float oracle, on a part of each text; the whole of them is a bench.

use crate::{
    model::adapter,
    oracle::{Score, default_model, open, score, texts},
};
use candle_core::{
    Device,
    quantized::{GgmlDType, QTensor, gguf_file},
};
use std::{fs::File, path::Path};
use tributary_adapters::Projection;

/// Every so many windows of a text.
const STRIDE: usize = 9;
/// The same where there are many files to score.
const SPARSE: usize = 18;
/// Weights of a block of the formats whose names end in K. Shorter rows become what llama.cpp writes instead.
const SUPER_BLOCK: usize = 256;

/// The formats of a file's matrices, and of those whose rows are no multiple of [`SUPER_BLOCK`]. Q4_1 is the default model's own.
const FORMATS: [(GgmlDType, GgmlDType); 5] = [
    (GgmlDType::F16, GgmlDType::F16),
    (GgmlDType::Q8_0, GgmlDType::Q8_0),
    (GgmlDType::Q4_0, GgmlDType::Q4_0),
    (GgmlDType::Q4K, GgmlDType::Q5_0),
    (GgmlDType::Q6K, GgmlDType::Q8_0),
];
/// Bound of a format's excess over so few tokens, in percent: they alone are worth one. Whole texts are for `tests/bench/formats.sh`.
const SPARSE_BOUND: f64 = 2.0;

fn check(with_lora: bool) {
    let path = default_model();
    let model = open(&path);
    let lora = with_lora.then(|| adapter(&model.config, 7, 16, &Projection::ALL));
    for text in texts(&model.tokenizer) {
        let score = score(&path, &text.tokens, STRIDE, lora.as_ref());
        let (excess, agreement) = (score.excess(), score.agreement());
        println!(
            "{}{}: perplexity {:.3}, oracle {:.3}, {excess:+.2} %, same first token {agreement:.1} %, {} tokens",
            text.name,
            if with_lora { " with LoRA" } else { "" },
            score.profile(),
            score.oracle(),
            score.count()
        );
        assert!(excess.abs() < 1.0, "{excess:+.2} %");
        assert!(agreement > 90.0, "{agreement:.1} %");
    }
}

#[test]
fn within_one_percent_of_float() {
    check(false);
}

#[test]
fn within_one_percent_of_float_with_lora() {
    check(true);
}

/// The model of a file, its matrices in other formats.
fn requantize(from: &Path, to: &Path, (dtype, short): (GgmlDType, GgmlDType)) {
    let mut file = File::open(from).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    let mut tensors = Vec::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
        let dtype = match tensor.shape().dims() {
            [_] => GgmlDType::F32,
            [_, columns] if columns % SUPER_BLOCK == 0 => dtype,
            _ => short,
        };
        let floats = tensor.dequantize(&Device::Cpu).unwrap();
        tensors.push((name.as_str(), QTensor::quantize(&floats, dtype).unwrap()));
    }
    let values: Vec<_> = content.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(to).unwrap(), &values, &tensors).unwrap();
}

#[test]
fn every_weight_format_is_near_to_float() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for formats in FORMATS {
        requantize(&default_model(), &path, formats);
        let texts = texts(&open(&path).tokenizer);
        let score: Score = texts.iter().map(|text| score(&path, &text.tokens, SPARSE, None)).sum();
        let (excess, agreement) = (score.excess(), score.agreement());
        println!("{formats:?}: {excess:+.2} %, same first token {agreement:.1} % of {}", score.count());
        assert!(excess.abs() < SPARSE_BOUND, "{formats:?}: {excess:+.2} %");
        assert!(agreement > 90.0, "{formats:?}: {agreement:.1} %");
    }
}
