use super::{Format, Part, finish_reason, whole};
use crate::{
    error::Result,
    service::Job,
    text::TextModel,
    types::{CompletionChoice, CompletionLogprobs, CompletionReply, Receipt, Usage},
};
use alloy_primitives::B256;
use tributary_engine::TokenEvent;

fn id(hash: B256) -> String {
    format!("cmpl-{hash:x}")
}

/// The whole reply.
pub(crate) async fn whole_completion(job: Job, text: &TextModel, logprobs: bool) -> Result<CompletionReply> {
    let Job { id: hash, created, model, prompt_tokens, answers } = job;
    let mut collected = whole::collect(answers).await?;
    let completion = collected.iter().map(|one| one.outcome.tokens.len() as u64).sum();
    let mut only = None;
    if let [one] = collected.as_mut_slice() {
        only = Some(std::mem::take(&mut one.receipt));
    }
    let choices = collected
        .into_iter()
        .map(|one| CompletionChoice {
            index: one.index,
            logprobs: logprobs.then(|| all_logprobs(text, &one.events)),
            text: one.text,
            finish_reason: Some(finish_reason(one.outcome.reason).into()),
            tributary: only.is_none().then_some(one.receipt),
        })
        .collect();
    Ok(CompletionReply {
        id: id(hash),
        object: "text_completion".into(),
        created,
        model,
        choices,
        usage: Some(Usage::new(prompt_tokens, completion)),
        tributary: only,
    })
}

fn all_logprobs(text: &TextModel, events: &[TokenEvent]) -> CompletionLogprobs {
    let mut all = CompletionLogprobs::default();
    let mut offset = 0;
    for event in events {
        push(&mut all, text, event, offset);
        offset += event.text.chars().count();
    }
    all
}

fn push(all: &mut CompletionLogprobs, text: &TextModel, event: &TokenEvent, offset: usize) {
    all.tokens.push(text.piece(event.token));
    all.token_logprobs.push(event.logprob.unwrap_or_default());
    all.top_logprobs.push(event.top.iter().map(|one| (text.piece(one.token), one.logprob)).collect());
    all.text_offset.push(offset);
}

/// Chunks of a streamed completion.
pub(crate) struct CompletionFormat {
    id: String,
    created: u64,
    model: String,
    text: TextModel,
    logprobs: bool,
}

impl CompletionFormat {
    pub(crate) fn new(job: &Job, text: TextModel, logprobs: bool) -> Self {
        Self { id: id(job.id), created: job.created, model: job.model.clone(), text, logprobs }
    }

    fn chunk_of(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<Usage>,
        tributary: Option<Box<Receipt>>,
    ) -> Option<String> {
        let chunk = CompletionReply {
            id: self.id.clone(),
            object: "text_completion".into(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
            tributary,
        };
        serde_json::to_string(&chunk).ok()
    }
}

fn choice(index: u32, text: String) -> CompletionChoice {
    CompletionChoice { index, text, logprobs: None, finish_reason: None, tributary: None }
}

impl Format for CompletionFormat {
    fn chunk(&self, part: Part<'_>) -> Option<String> {
        match part {
            Part::Opening { .. } => None,
            Part::Token { index, event, offset } => {
                if event.text.is_empty() && !self.logprobs {
                    return None;
                }
                let mut choice = choice(index, event.text.clone());
                if self.logprobs {
                    let mut logprobs = CompletionLogprobs::default();
                    push(&mut logprobs, &self.text, event, offset);
                    choice.logprobs = Some(logprobs);
                }
                self.chunk_of(vec![choice], None, None)
            }
            Part::End { index, tail, reason, receipt, only } => {
                let mut choice = choice(index, tail);
                choice.finish_reason = Some(finish_reason(reason).into());
                if only {
                    return self.chunk_of(vec![choice], None, receipt);
                }
                choice.tributary = receipt;
                self.chunk_of(vec![choice], None, None)
            }
            Part::Usage { usage, receipt } => self.chunk_of(Vec::new(), usage, receipt),
        }
    }
}
