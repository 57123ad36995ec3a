use crate::{
    error::{ApiError, Result},
    service::Answer,
    types::Receipt,
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
}

/// Waits for every answer; the first failure drops, and so cancels, the others.
pub(super) async fn collect(answers: Vec<Answer>) -> Result<Vec<Collected>> {
    try_join_all(answers.into_iter().map(collect_one)).await
}

async fn collect_one(answer: Answer) -> Result<Collected> {
    let Answer { index, meter, mut generation, mut tally } = answer;
    let mut text = String::new();
    let mut events = Vec::new();
    loop {
        match generation.next().await {
            Some(Event::Token(event)) => {
                tally.token();
                text.push_str(&event.text);
                events.push(event);
            }
            Some(Event::Finished(outcome)) => {
                text.push_str(&outcome.tail);
                let receipt = meter.settle(&outcome).await.map_err(|error| {
                    tracing::error!(%error, "Answer not recorded");
                    ApiError::Internal(error.to_string())
                })?;
                return Ok(Collected { index, text, events, outcome: *outcome, receipt: Box::new(receipt) });
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(GenerateError::Stopped.into()),
        }
    }
}
