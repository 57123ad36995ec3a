use crate::{
    error::{ApiError, Result},
    metrics,
    order::Answer,
    types::{Receipt, Usage},
};
use futures::future::try_join_all;
use tributary_engine::{Event, GenerateError, Outcome, TokenEvent};

/// An answer at its end.
pub(super) struct Collected {
    pub(super) index: u32,
    pub(super) text: String,
    pub(super) events: Vec<TokenEvent>,
    pub(super) outcome: Outcome,
    pub(super) receipt: Box<Receipt>,
    /// To be repeated, or reported of.
    pub(super) prompt: Option<Vec<u32>>,
}

/// Tokens of all answers.
pub(super) fn usage(prompt_tokens: u64, collected: &[Collected]) -> Usage {
    let sum = |count: fn(&Outcome) -> u64| collected.iter().map(|one| count(&one.outcome)).sum();
    Usage::new(
        prompt_tokens,
        sum(|outcome| outcome.tokens.len() as u64),
        sum(|outcome| u64::from(outcome.cached_tokens)),
    )
}

/// Waits for every answer; the first failure drops, and so cancels, the others.
pub(super) async fn collect(answers: Vec<Answer>) -> Result<Vec<Collected>> {
    try_join_all(answers.into_iter().map(collect_one)).await
}

async fn collect_one(answer: Answer) -> Result<Collected> {
    let Answer { index, meter, mut generation, mut tally, prompt } = answer;
    let mut text = String::new();
    let mut events = Vec::new();
    loop {
        match generation.next().await {
            Some(Event::Token(event)) => {
                tally.count(1);
                text.push_str(&event.text);
                events.push(event);
            }
            Some(Event::Finished(outcome)) => {
                text.push_str(&outcome.tail);
                metrics::answered(&outcome);
                let receipt = meter.settle(&outcome).await.map_err(|error| {
                    tracing::error!(%error, "Answer not recorded");
                    ApiError::Internal(error.to_string())
                })?;
                let receipt = Box::new(receipt);
                return Ok(Collected { index, text, events, outcome: *outcome, receipt, prompt });
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(GenerateError::Stopped.into()),
        }
    }
}
