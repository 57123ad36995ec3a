//! Figures of requests, and of what is in memory, under vLLM's names and under `tributary:`.

use crate::{order::Order, resolve::ResolvedModel, service::Api};
use alloy_primitives::B256;
use metrics::histogram;
use parking_lot::Mutex;
use std::{collections::HashMap, fmt::Write, sync::Arc};
use tributary_engine::Outcome;

/// What `/metrics` shows besides what is in memory.
#[derive(Clone)]
pub struct MetricsHook {
    /// The base model's name, the label `model_name` of every series.
    pub model: String,
    /// Renders what was counted in Prometheus' text format.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Names of adapters that are kept for display.
const MAX_NAMES: usize = 10_000;

macro_rules! both {
    ($name:literal, $value:expr) => {
        histogram!(concat!("vllm:", $name)).record($value);
        histogram!(concat!("tributary:", $name)).record($value);
    };
}

/// A request that was let in.
pub(crate) fn opened(order: &Order<'_>, n: u32, max_tokens: u32) {
    for prompt in &order.prompts {
        both!("request_prompt_tokens", prompt.len() as f64);
        both!("request_params_n", f64::from(n));
        both!("request_params_max_tokens", f64::from(max_tokens));
    }
}

/// An answer at its end.
pub(crate) fn answered(outcome: &Outcome) {
    both!("request_generation_tokens", outcome.tokens.len() as f64);
}

/// What adapters are called, by artifact.
#[derive(Debug, Default)]
pub(crate) struct AdapterNames(Mutex<HashMap<B256, String>>);

impl AdapterNames {
    /// Remembers the name that a request used.
    pub(crate) fn learn(&self, model: &ResolvedModel) {
        if let [(source, _)] = model.composition.as_slice() {
            let mut names = self.0.lock();
            if names.len() < MAX_NAMES || names.contains_key(&source.hash) {
                names.insert(source.hash, model.name.clone());
            }
        }
    }

    fn of(&self, hash: B256) -> String {
        self.0.lock().get(&hash).cloned().unwrap_or_else(|| format!("{hash:#x}"))
    }
}

impl Api {
    /// All that there is, in Prometheus' text format.
    pub(crate) fn shown(&self, hook: &MetricsHook) -> String {
        (hook.render)() + &self.memory_metrics(&escaped(&hook.model))
    }

    /// What is in memory now: adapters, and how the KV cache is laid out.
    fn memory_metrics(&self, model: &str) -> String {
        let mut text = String::new();
        let adapters = self.parts.store.adapters();
        for prefix in ["vllm", "tributary"] {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# TYPE {prefix}:lora_adapter_loaded gauge");
            for adapter in &adapters {
                let (name, pinned, rank) = (self.names.of(adapter.hash), adapter.pinned, adapter.rank);
                let _ = writeln!(
                    text,
                    "{prefix}:lora_adapter_loaded{{model_name=\"{model}\",adapter_name=\"{}\",level=\"cpu\",pinned=\"{pinned}\",rank=\"{rank}\",weight=\"{}\"}} 1",
                    escaped(&name),
                    adapter.weight,
                );
            }
            let engines = self.parts.engine.infos();
            if let Some(info) = engines.first() {
                let size = info.limits.page_tokens;
                let pages: u64 = engines.iter().map(|info| u64::from(info.limits.pages)).sum();
                let _ = writeln!(text, "# TYPE {prefix}:cache_config_info gauge");
                let _ = writeln!(
                    text,
                    "{prefix}:cache_config_info{{model_name=\"{model}\",block_size=\"{size}\",num_gpu_blocks=\"{pages}\"}} 1",
                );
            }
        }
        let bytes: usize = adapters.iter().map(|adapter| adapter.bytes).sum();
        let _ = writeln!(
            text,
            "# TYPE tributary:adapter_bytes gauge\ntributary:adapter_bytes{{model_name=\"{model}\"}} {bytes}"
        );
        text
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
