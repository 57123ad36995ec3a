use crate::adapter::AdapterSpec;
use serde_json::json;
use tributary_adapters::Projection;

/// Seed of the models that the cases run on.
const MODEL: u64 = 11;

/// Adapters over a tiny model whose logits Hugging Face's `peft` computed once: `tests/python/peft_golden.py`.
#[derive(Clone, Debug)]
pub struct PeftCase {
    /// Its name in the golden file.
    pub name: &'static str,
    /// Seed of the model.
    pub model: u64,
    /// Whether the model is a Qwen2, with biases.
    pub biased: bool,
    /// Adapters and their weights, in request order.
    pub adapters: Vec<(AdapterSpec, f32)>,
}

/// Every way in which a LoRA artifact may be scaled, alone and composed.
pub fn peft_cases() -> Vec<PeftCase> {
    let plain = || AdapterSpec::new(1);
    let stabilised = || AdapterSpec::new(2).rank(4).config("use_rslora", json!(true));
    let patterned = || {
        AdapterSpec::new(3)
            .rank_of("self_attn.q_proj", 3)
            .rank_of("mlp.down_proj", 40)
            .config("alpha_pattern", json!({ "v_proj": 5, "layers.1.mlp.up_proj": 30 }))
    };
    let transposed = || {
        AdapterSpec::new(4).targets(&[Projection::Q, Projection::Up]).config("fan_in_fan_out", json!(true))
    };
    let dora = || AdapterSpec::new(5).dora();
    let few = || {
        AdapterSpec::new(6)
            .targets(&[Projection::K, Projection::V, Projection::Down])
            .rank_of("self_attn.k_proj", 2)
            .config("use_rslora", json!(true))
            .dora()
    };
    let case = |name, biased, adapters| PeftCase { name, model: MODEL, biased, adapters };
    vec![
        case("plain", false, vec![(plain(), 1.0)]),
        case("rslora", false, vec![(stabilised(), 1.0)]),
        case("patterns", true, vec![(patterned(), 1.0)]),
        case("fan_in_fan_out", false, vec![(transposed(), 1.0)]),
        case("composition", false, vec![(plain(), 0.5), (stabilised(), -0.25), (patterned(), 0.75)]),
        case("composition with biases", true, vec![(patterned(), 0.7), (transposed(), 1.5)]),
        case("dora", false, vec![(dora(), 1.0)]),
        case("dora with biases", true, vec![(dora(), 1.0)]),
        case("dora on few layers", true, vec![(few(), 1.0)]),
        case("dora weighted", true, vec![(few(), 0.5)]),
    ]
}
