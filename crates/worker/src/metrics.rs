//! What an operator watches of the worker, the poster and DA.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tributary_api::Refusal;

use crate::store::BatchState;

/// Names every metric; those that count begin at zero.
pub(crate) fn describe() {
    describe_counter!("tributary_worker_answers_total", "Answers given, paid or free");
    describe_counter!("tributary_worker_fees_wei_total", "Fees of answers");
    describe_counter!(
        "tributary_worker_refusals_total",
        "Requests refused before a token was decoded, by reason"
    );
    describe_counter!(
        "tributary_worker_restarts_total",
        "Parts of the worker that failed and were started again"
    );
    describe_gauge!("tributary_poster_pending", "Answers that wait for a batch");
    describe_gauge!("tributary_poster_open_batches", "Batches that are not final yet");
    describe_counter!("tributary_poster_batches_total", "Batches that reached a state");
    describe_counter!("tributary_da_dispersals_total", "Batches that DA took and gave back");
    describe_counter!("tributary_da_failures_total", "Attempts that DA failed");
    describe_histogram!(
        "tributary_da_dispersal_seconds",
        Unit::Seconds,
        "Giving a batch to DA and reading it back"
    );
    for name in ["worker_answers", "worker_fees_wei", "da_dispersals", "da_failures"] {
        counter!(format!("tributary_{name}_total")).increment(0);
    }
    for state in ["committed", "final", "void"] {
        counter!("tributary_poster_batches_total", "state" => state).increment(0);
    }
    for reason in ["invalid", "busy", "unavailable", "other"] {
        counter!("tributary_worker_refusals_total", "reason" => reason).increment(0);
    }
    waiting(0, 0);
}

pub(crate) fn answered(fee: u128) {
    counter!("tributary_worker_answers_total").increment(1);
    counter!("tributary_worker_fees_wei_total").increment(u64::try_from(fee).unwrap_or(u64::MAX));
}

pub(crate) fn refused(refusal: &Refusal) {
    let reason = match refusal {
        Refusal::Payment { code, .. } => *code,
        Refusal::Invalid(_) => "invalid",
        Refusal::Busy { .. } => "busy",
        Refusal::Unavailable(_) => "unavailable",
        _ => "other",
    };
    counter!("tributary_worker_refusals_total", "reason" => reason).increment(1);
}

pub(crate) fn restarted(part: &'static str) {
    counter!("tributary_worker_restarts_total", "part" => part).increment(1);
}

/// How many answers wait for a batch, and how many batches for their end.
pub(crate) fn waiting(answers: usize, batches: usize) {
    gauge!("tributary_poster_pending").set(answers as f64);
    gauge!("tributary_poster_open_batches").set(batches as f64);
}

/// A batch came as far as this.
pub(crate) fn reached(state: BatchState) {
    let state = match state {
        BatchState::Packed => "packed",
        BatchState::Dispersed => "dispersed",
        BatchState::Sent => "sent",
        BatchState::Committed => "committed",
        BatchState::Final => "final",
        BatchState::Void => "void",
    };
    counter!("tributary_poster_batches_total", "state" => state).increment(1);
}

/// DA was asked to take a batch.
pub(crate) fn dispersal(took: Duration, succeeded: bool) {
    histogram!("tributary_da_dispersal_seconds").record(took);
    let outcome = if succeeded { "tributary_da_dispersals_total" } else { "tributary_da_failures_total" };
    counter!(outcome).increment(1);
}
