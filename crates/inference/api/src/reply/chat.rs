use super::{Format, Part, finish_reason, whole};
use crate::{
    error::Result,
    service::Job,
    text::TextModel,
    types::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatMessage, ChatReply, Delta, Receipt,
        TokenAlternative, TokenDetail, Usage,
    },
};
use alloy_primitives::B256;
use tributary_engine::TokenEvent;

fn id(hash: B256) -> String {
    format!("chatcmpl-{hash:x}")
}

/// The whole reply.
pub(crate) async fn whole_chat(job: Job, text: &TextModel, logprobs: bool) -> Result<ChatReply> {
    let Job { id: hash, created, model, prompt_tokens, answers } = job;
    let mut collected = whole::collect(answers).await?;
    let completion = collected.iter().map(|one| one.outcome.tokens.len() as u64).sum();
    let mut only = None;
    if let [one] = collected.as_mut_slice() {
        only = Some(std::mem::take(&mut one.receipt));
    }
    let choices = collected
        .into_iter()
        .map(|one| ChatChoice {
            index: one.index,
            message: ChatMessage::new("assistant", one.text),
            logprobs: logprobs
                .then(|| ChatLogprobs { content: one.events.iter().map(|e| detail(text, e)).collect() }),
            finish_reason: Some(finish_reason(one.outcome.reason).into()),
            tributary: only.is_none().then_some(one.receipt),
        })
        .collect();
    Ok(ChatReply {
        id: id(hash),
        object: "chat.completion".into(),
        created,
        model,
        choices,
        usage: Usage::new(prompt_tokens, completion),
        tributary: only,
    })
}

fn detail(text: &TextModel, event: &TokenEvent) -> TokenDetail {
    TokenDetail {
        token: text.piece(event.token),
        logprob: event.logprob.unwrap_or_default(),
        bytes: Some(text.bytes(event.token).to_vec()),
        top_logprobs: event
            .top
            .iter()
            .map(|one| TokenAlternative {
                token: text.piece(one.token),
                logprob: one.logprob,
                bytes: Some(text.bytes(one.token).to_vec()),
            })
            .collect(),
    }
}

/// Chunks of a streamed conversation.
pub(crate) struct ChatFormat {
    id: String,
    created: u64,
    model: String,
    text: TextModel,
    logprobs: bool,
}

impl ChatFormat {
    pub(crate) fn new(job: &Job, text: TextModel, logprobs: bool) -> Self {
        Self { id: id(job.id), created: job.created, model: job.model.clone(), text, logprobs }
    }

    fn chunk_of(
        &self,
        choices: Vec<ChatChunkChoice>,
        usage: Option<Usage>,
        tributary: Option<Box<Receipt>>,
    ) -> Option<String> {
        let chunk = ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".into(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
            tributary,
        };
        serde_json::to_string(&chunk).ok()
    }
}

fn choice(index: u32, delta: Delta) -> ChatChunkChoice {
    ChatChunkChoice { index, delta, logprobs: None, finish_reason: None, tributary: None }
}

fn content(text: String) -> Delta {
    Delta { role: None, content: Some(text) }
}

impl Format for ChatFormat {
    fn chunk(&self, part: Part<'_>) -> Option<String> {
        match part {
            Part::Opening { index } => {
                let delta = Delta { role: Some("assistant".into()), content: Some(String::new()) };
                self.chunk_of(vec![choice(index, delta)], None, None)
            }
            Part::Token { index, event, .. } => {
                if event.text.is_empty() && !self.logprobs {
                    return None;
                }
                let mut choice = choice(index, content(event.text.clone()));
                choice.logprobs =
                    self.logprobs.then(|| ChatLogprobs { content: vec![detail(&self.text, event)] });
                self.chunk_of(vec![choice], None, None)
            }
            Part::End { index, tail, reason, receipt, only } => {
                let delta = if tail.is_empty() { Delta::default() } else { content(tail) };
                let mut choice = choice(index, delta);
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
