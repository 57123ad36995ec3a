use super::{
    Format, Part,
    calls::CallReader,
    finish_reason,
    prompt::prompt_logprobs,
    whole::{self, Collected},
};
use crate::{
    error::Result,
    order::Job,
    text::TextModel,
    tools::Toolbox,
    types::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatMessage, ChatReply, Content, Delta,
        Receipt, TokenAlternative, TokenDetail, Usage,
    },
};
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tributary_engine::TokenEvent;

fn id(hash: B256) -> String {
    format!("chatcmpl-{hash:x}")
}

/// What replies to a request show.
pub(crate) struct Dress {
    pub(crate) text: TextModel,
    pub(crate) logprobs: bool,
    pub(crate) toolbox: Option<Toolbox>,
    pub(crate) prompt_logprobs: bool,
}

/// The whole reply.
pub(crate) async fn whole_chat(job: Job, dress: &Dress) -> Result<ChatReply> {
    let Job { id: hash, created, model, prompt_tokens, answers } = job;
    let mut collected = whole::collect(answers).await?;
    let usage = whole::usage(prompt_tokens, &collected);
    let prompt_logprobs =
        collected.first().and_then(|one| prompt_logprobs(&dress.text, one, dress.prompt_logprobs));
    let mut only = None;
    if let [one] = collected.as_mut_slice() {
        only = Some(std::mem::take(&mut one.receipt));
    }
    let choices = collected
        .into_iter()
        .map(|one| {
            let (message, reason) = message(dress, hash, &one);
            ChatChoice {
                index: one.index,
                message,
                logprobs: dress.logprobs.then(|| ChatLogprobs {
                    content: one.events.iter().map(|event| detail(&dress.text, event)).collect(),
                }),
                finish_reason: Some(reason.into()),
                tributary: only.is_none().then_some(one.receipt),
            }
        })
        .collect();
    Ok(ChatReply {
        id: id(hash),
        object: "chat.completion".into(),
        created,
        model,
        choices,
        usage,
        prompt_logprobs,
        tributary: only,
    })
}

fn message(dress: &Dress, hash: B256, one: &Collected) -> (ChatMessage, &'static str) {
    let reason = finish_reason(one.outcome.reason);
    let Some(toolbox) = &dress.toolbox else { return (ChatMessage::new("assistant", &*one.text), reason) };
    let mut reader = CallReader::new(toolbox, hash, one.index);
    let (content, calls) = reader.whole(&one.text);
    let mut message = ChatMessage::new("assistant", "");
    message.content = content.map(Content::Text);
    message.tool_calls = Some(calls).filter(|calls| !calls.is_empty());
    (message, ended_by(reason, Some(&reader)))
}

/// Calls are why an answer ended that was not cut off.
fn ended_by(reason: &'static str, reader: Option<&CallReader>) -> &'static str {
    let calls = reader.and_then(CallReader::finish_reason);
    calls.filter(|_| reason == "stop").unwrap_or(reason)
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
    hash: B256,
    created: u64,
    model: String,
    dress: Dress,
    /// Of each answer, where there are tools.
    readers: Mutex<BTreeMap<u32, CallReader>>,
}

impl ChatFormat {
    pub(crate) fn new(job: &Job, dress: Dress) -> Self {
        Self {
            id: id(job.id),
            hash: job.id,
            created: job.created,
            model: job.model.clone(),
            dress,
            readers: Mutex::default(),
        }
    }

    /// What text adds to a message, its calls told from its words. At the end, also why it ended.
    fn delta(&self, index: u32, text: &str, end: Option<&'static str>) -> (Delta, &'static str) {
        let plain = |text: &str| if text.is_empty() { Delta::default() } else { content(text.to_owned()) };
        let Some(toolbox) = &self.dress.toolbox else { return (plain(text), end.unwrap_or_default()) };
        let mut readers = self.readers.lock();
        let reader = readers.entry(index).or_insert_with(|| CallReader::new(toolbox, self.hash, index));
        let mut delta = reader.push(text);
        let Some(reason) = end else { return (delta, "") };
        let last = reader.finish();
        delta.content = match (delta.content, last.content) {
            (Some(one), Some(other)) => Some(one + &other),
            (one, other) => one.or(other),
        };
        delta.tool_calls = delta.tool_calls.or(last.tool_calls);
        (delta, ended_by(reason, Some(reader)))
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
    Delta { content: Some(text), ..Delta::default() }
}

impl Format for ChatFormat {
    fn chunk(&self, part: Part<'_>) -> Option<String> {
        match part {
            Part::Opening { index } => {
                let content = self.dress.toolbox.is_none().then(String::new);
                let delta = Delta { role: Some("assistant".into()), content, tool_calls: None };
                self.chunk_of(vec![choice(index, delta)], None, None)
            }
            Part::Token { index, event, .. } => {
                let (mut delta, _) = self.delta(index, &event.text, None);
                if delta == Delta::default() && !self.dress.logprobs {
                    return None;
                }
                if self.dress.toolbox.is_none() {
                    delta.content.get_or_insert_default();
                }
                let mut choice = choice(index, delta);
                choice.logprobs = self
                    .dress
                    .logprobs
                    .then(|| ChatLogprobs { content: vec![detail(&self.dress.text, event)] });
                self.chunk_of(vec![choice], None, None)
            }
            Part::End { index, tail, reason, receipt, only } => {
                let (delta, reason) = self.delta(index, &tail, Some(finish_reason(reason)));
                let mut choice = choice(index, delta);
                choice.finish_reason = Some(reason.into());
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
