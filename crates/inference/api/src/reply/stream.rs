//! Server-sent events: one task per answer feeds one bounded channel, which is the response's body.
//!
//! A client that leaves closes the channel. The answers then end where they stand, and what was served is
//! settled: the tasks outlive the response.

use super::{Format, Part};
use crate::{
    error::ApiError,
    metrics,
    order::{Answer, Job},
    types::{Receipt, Usage},
};
use axum::response::{
    IntoResponse, Response,
    sse::{Event as SseEvent, KeepAlive, Sse},
};
use futures::future::join_all;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tributary_engine::{Event, GenerateError, Outcome};

/// Chunks that wait for a slow client.
const CHUNKS: usize = 64;
/// Pause after which a comment keeps the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The response of a streamed request.
pub(crate) fn stream(job: Job, format: impl Format, include_usage: bool) -> Response {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(run(job, Arc::new(format), include_usage, sender));
    let events =
        ReceiverStream::new(receiver).map(|data| Ok::<_, Infallible>(SseEvent::default().data(data)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

async fn run(job: Job, format: Arc<dyn Format>, include_usage: bool, sender: mpsc::Sender<String>) {
    let single = job.answers.len() == 1;
    let prompt_tokens = job.prompt_tokens;
    let feeds = job.answers.into_iter().map(|answer| Feed {
        answer,
        format: Arc::clone(&format),
        sender: sender.clone(),
        only: single,
        // The only receipt of a reply goes into its last chunk.
        receipt_at_end: !(single && include_usage),
    });
    let ends = join_all(feeds.map(|feed| tokio::spawn(feed.run()))).await;
    let (mut completion, mut cached) = (0, 0);
    let mut receipt = None;
    for end in ends.into_iter().flatten().flatten() {
        completion += end.tokens;
        cached += end.cached;
        receipt = end.receipt;
    }
    if include_usage {
        let usage = Some(Usage::new(prompt_tokens, completion, cached));
        let receipt = receipt.filter(|_| single);
        send(&sender, format.chunk(Part::Usage { usage, receipt })).await;
    }
    send(&sender, Some("[DONE]".into())).await;
}

/// False when the client is gone.
async fn send(sender: &mpsc::Sender<String>, chunk: Option<String>) -> bool {
    match chunk {
        Some(chunk) => sender.send(chunk).await.is_ok(),
        None => !sender.is_closed(),
    }
}

struct Feed {
    answer: Answer,
    format: Arc<dyn Format>,
    sender: mpsc::Sender<String>,
    only: bool,
    receipt_at_end: bool,
}

struct End {
    tokens: u64,
    cached: u64,
    receipt: Option<Box<Receipt>>,
}

impl Feed {
    async fn run(mut self) -> Option<End> {
        let index = self.answer.index;
        let mut offset = 0;
        self.say(Part::Opening { index }).await;
        loop {
            let event = tokio::select! {
                event = self.answer.generation.next() => event,
                () = self.sender.closed(), if !self.answer.generation.is_cancelled() => {
                    self.answer.generation.cancel();
                    continue;
                }
            };
            match event {
                Some(Event::Token(event)) => {
                    self.answer.tally.count(1);
                    self.say(Part::Token { index, event: &event, offset }).await;
                    offset += event.text.chars().count();
                }
                Some(Event::Finished(outcome)) => return self.end(*outcome).await,
                Some(Event::Failed(error)) => return self.fail(error.into()).await,
                None => return self.fail(GenerateError::Stopped.into()).await,
            }
        }
    }

    async fn say(&self, part: Part<'_>) {
        if !send(&self.sender, self.format.chunk(part)).await {
            self.answer.generation.cancel();
        }
    }

    async fn end(self, outcome: Outcome) -> Option<End> {
        let Self { answer, format, sender, only, receipt_at_end } = self;
        metrics::answered(&outcome);
        match answer.meter.settle(&outcome).await {
            Ok(receipt) => {
                let receipt = Box::new(receipt);
                let shown = receipt_at_end.then(|| receipt.clone());
                let Outcome { reason, tail, .. } = outcome;
                let part = Part::End { index: answer.index, tail, reason, receipt: shown, only };
                send(&sender, format.chunk(part)).await;
                let (tokens, cached) = (outcome.tokens.len() as u64, u64::from(outcome.cached_tokens));
                Some(End { tokens, cached, receipt: Some(receipt) })
            }
            Err(error) => {
                tracing::error!(%error, "Answer not recorded");
                report(&sender, &ApiError::Internal(error.to_string())).await;
                None
            }
        }
    }

    async fn fail(self, error: ApiError) -> Option<End> {
        report(&self.sender, &error).await;
        None
    }
}

/// A failure after the status line is gone: OpenAI's clients raise on an `error` object in the stream.
async fn report(sender: &mpsc::Sender<String>, error: &ApiError) {
    send(sender, serde_json::to_string(&error.reply()).ok()).await;
}
