//! The profile against the float oracle, on a part of each text; the whole of them is a bench.

use crate::{
    model::adapter,
    oracle::{default_model, open, score, texts},
};
use tributary_adapters::Projection;

/// Every so many windows of a text.
const STRIDE: usize = 9;

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
