//! Figures of the engine under vLLM's names, so that dashboards made for it fit, and under `tributary:`.

use crate::{
    request::{GenerateError, Outcome, Timing},
    schedule::{Counts, Scheduler},
};
use metrics::{counter, gauge, histogram};
use std::time::Duration;
use tributary_adapters::MemoryStats;

/// Which engine of several a figure is of: nothing where there is one.
pub(crate) type Labels = Vec<(&'static str, String)>;

macro_rules! both {
    (labels $labels:expr, $kind:ident, $name:literal; $method:ident($($argument:expr),*)) => {
        $kind!(concat!("vllm:", $name), $labels).$method($($argument),*);
        $kind!(concat!("tributary:", $name), $labels).$method($($argument),*);
    };
    ($kind:ident, $name:literal $(, $key:literal => $value:expr)* ; $method:ident($($argument:expr),*)) => {
        $kind!(concat!("vllm:", $name) $(, $key => $value)*).$method($($argument),*);
        $kind!(concat!("tributary:", $name) $(, $key => $value)*).$method($($argument),*);
    };
}

/// After every step.
pub(crate) fn step(scheduler: &mut Scheduler, tokens: usize, took: Duration) {
    counts(&scheduler.take_counts());
    both!(histogram, "iteration_tokens_total"; record(tokens as f64));
    histogram!("tributary:step_seconds").record(took.as_secs_f64());
}

/// The state between steps.
pub(crate) fn gauges(scheduler: &Scheduler, labels: &Labels) {
    both!(labels labels, gauge, "num_requests_running"; set(scheduler.running().len() as f64));
    both!(labels labels, gauge, "num_requests_waiting"; set(scheduler.waiting() as f64));
    both!(labels labels, gauge, "kv_cache_usage_perc"; set(scheduler.pages().usage()));
    gauge!("tributary:prefix_cache_pages", labels).set(scheduler.pages().shareable() as f64);
}

/// Of an engine that ended, for good or until the next start: nothing is there.
pub(crate) fn ended(labels: &Labels) {
    both!(labels labels, gauge, "num_requests_running"; set(0.0));
    both!(labels labels, gauge, "num_requests_waiting"; set(0.0));
    both!(labels labels, gauge, "kv_cache_usage_perc"; set(0.0));
    gauge!("tributary:prefix_cache_pages", labels).set(0.0);
}

/// Whether an engine serves, by what it computes with.
pub(crate) fn serves(labels: &Labels, backend: &str, serves: bool) {
    let labels: Labels = labels.iter().cloned().chain([("backend", backend.to_owned())]).collect();
    gauge!("tributary:engine_up", &labels).set(if serves { 1.0 } else { 0.0 });
}

/// Where a request went, and why there.
pub(crate) fn placed(labels: &Labels, why: &'static str) {
    if !labels.is_empty() {
        let labels: Labels = labels.iter().cloned().chain([("why", why.to_owned())]).collect();
        counter!("tributary:requests_placed_total", &labels).increment(1);
    }
}

/// Requests that an engine gave to others.
pub(crate) fn handed_on(labels: &Labels, count: usize) {
    counter!("tributary:requests_handed_on_total", labels).increment(count as u64);
}

/// Who has how much of the memory.
pub(crate) fn memory(stats: &MemoryStats) {
    let free = stats.total.saturating_sub(stats.weights + stats.pages + stats.adapters);
    gauge!("tributary:memory_budget_bytes").set(stats.total as f64);
    for (part, bytes) in
        [("weights", stats.weights), ("pages", stats.pages), ("adapters", stats.adapters), ("free", free)]
    {
        gauge!("tributary:memory_bytes", "part" => part).set(bytes as f64);
    }
}

/// What happened in a step besides tokens.
fn counts(counts: &Counts) {
    both!(counter, "prompt_tokens_total"; increment(counts.prompted));
    both!(counter, "generation_tokens_total"; increment(counts.generated));
    both!(counter, "num_preemptions_total"; increment(counts.preemptions));
    both!(counter, "prefix_cache_queries_total"; increment(counts.prefix_queries));
    both!(counter, "prefix_cache_hits_total"; increment(counts.prefix_hits));
    counter!("tributary:prefix_cache_evictions_total").increment(counts.evictions);
    both!(counter, "spec_decode_num_drafts_total"; increment(counts.drafts));
    both!(counter, "spec_decode_num_draft_tokens_total"; increment(counts.drafted));
    both!(counter, "spec_decode_num_accepted_tokens_total"; increment(counts.drafts_right));
}

/// Between two tokens of an answer, or two runs of them where guesses were right.
pub(crate) fn next_token(since: Duration) {
    both!(histogram, "inter_token_latency_seconds"; record(since.as_secs_f64()));
}

/// At the end of an answer.
pub(crate) fn finished(outcome: &Outcome) {
    both!(counter, "request_success_total", "finished_reason" => outcome.reason.name(); increment(1));
    let Timing { queued, first_token, total } = outcome.timing;
    both!(histogram, "request_queue_time_seconds"; record(queued.as_secs_f64()));
    both!(histogram, "request_inference_time_seconds"; record(total.saturating_sub(queued).as_secs_f64()));
    both!(histogram, "e2e_request_latency_seconds"; record(total.as_secs_f64()));
    if let Some(first) = first_token {
        both!(histogram, "request_prefill_time_seconds"; record(first.saturating_sub(queued).as_secs_f64()));
        both!(histogram, "request_decode_time_seconds"; record(total.saturating_sub(first).as_secs_f64()));
        both!(histogram, "time_to_first_token_seconds"; record(first.as_secs_f64()));
        if outcome.tokens.len() > 1 {
            let each = (total - first).as_secs_f64() / (outcome.tokens.len() - 1) as f64;
            both!(histogram, "time_per_output_token_seconds"; record(each));
        }
    }
}

/// At a failure.
pub(crate) fn failed(error: &GenerateError) {
    let reason = match error {
        GenerateError::NonFinite => "non_finite",
        GenerateError::Refused(_) => "refused",
        GenerateError::Grammar(_) => "grammar",
        GenerateError::Backend(_) => "backend",
        GenerateError::TooLong { .. } => "too_long",
        GenerateError::Deadline => "deadline",
        GenerateError::Cancelled => "cancelled",
        GenerateError::Stopped => "stopped",
    };
    counter!("tributary:request_failure_total", "reason" => reason).increment(1);
}

/// When the backend is started again.
pub(crate) fn restarted(labels: &Labels) {
    counter!("tributary:backend_restarts_total", labels).increment(1);
}
