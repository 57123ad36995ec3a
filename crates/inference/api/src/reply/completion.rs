use super::{
    Format, Part, finish_reason,
    prompt::{echo, echo_logprobs, prompt_logprobs},
    whole::{self, Collected},
};
use crate::{
    error::Result,
    order::{Answer, Job},
    text::TextModel,
    types::{CompletionChoice, CompletionLogprobs, CompletionReply, Receipt, Usage},
};
use alloy_primitives::B256;
use tributary_engine::TokenEvent;

fn id(hash: B256) -> String {
    format!("cmpl-{hash:x}")
}

/// What replies to a request show.
pub(crate) struct CompletionDress {
    pub(crate) text: TextModel,
    pub(crate) logprobs: bool,
    pub(crate) echo: bool,
    pub(crate) prompt_logprobs: bool,
}

/// The whole reply.
pub(crate) async fn whole_completion(job: Job, dress: &CompletionDress) -> Result<CompletionReply> {
    let Job { id: hash, created, model, prompt_tokens, answers } = job;
    let mut collected = whole::collect(answers).await?;
    let usage = Some(whole::usage(prompt_tokens, &collected));
    let mut only = None;
    if let [one] = collected.as_mut_slice() {
        only = Some(std::mem::take(&mut one.receipt));
    }
    let choices = collected
        .into_iter()
        .map(|one| CompletionChoice {
            index: one.index,
            logprobs: dress.logprobs.then(|| all_logprobs(dress, &one)),
            prompt_logprobs: prompt_logprobs(&dress.text, &one, dress.prompt_logprobs),
            text: echo(&dress.text, one.prompt.as_deref().filter(|_| dress.echo)) + &one.text,
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
        usage,
        tributary: only,
    })
}

fn all_logprobs(dress: &CompletionDress, one: &Collected) -> CompletionLogprobs {
    let mut all = CompletionLogprobs::default();
    let mut offset = 0;
    if dress.echo {
        echo_logprobs(&mut all, &dress.text, one);
        offset = echo(&dress.text, one.prompt.as_deref()).chars().count();
    }
    for event in &one.events {
        push(&mut all, &dress.text, event, offset);
        offset += event.text.chars().count();
    }
    all
}

fn push(all: &mut CompletionLogprobs, text: &TextModel, event: &TokenEvent, offset: usize) {
    all.tokens.push(text.piece(event.token));
    all.token_logprobs.push(event.logprob);
    all.top_logprobs.push(Some(event.top.iter().map(|one| (text.piece(one.token), one.logprob)).collect()));
    all.text_offset.push(offset);
}

/// Chunks of a streamed completion.
pub(crate) struct CompletionFormat {
    id: String,
    created: u64,
    model: String,
    dress: CompletionDress,
    /// What each answer repeats first.
    echoes: Vec<String>,
}

impl CompletionFormat {
    pub(crate) fn new(job: &Job, dress: CompletionDress) -> Self {
        let prompt = |answer: &Answer| echo(&dress.text, answer.prompt.as_deref().filter(|_| dress.echo));
        let echoes = job.answers.iter().map(prompt).collect();
        Self { id: id(job.id), created: job.created, model: job.model.clone(), dress, echoes }
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
    CompletionChoice {
        index,
        text,
        logprobs: None,
        finish_reason: None,
        prompt_logprobs: None,
        tributary: None,
    }
}

impl Format for CompletionFormat {
    fn chunk(&self, part: Part<'_>) -> Option<String> {
        match part {
            Part::Opening { index } => {
                let echo = self.echoes.get(index as usize).filter(|echo| !echo.is_empty())?;
                self.chunk_of(vec![choice(index, echo.clone())], None, None)
            }
            Part::Token { index, event, offset } => {
                if event.text.is_empty() && !self.dress.logprobs {
                    return None;
                }
                let mut choice = choice(index, event.text.clone());
                if self.dress.logprobs {
                    let mut logprobs = CompletionLogprobs::default();
                    push(&mut logprobs, &self.dress.text, event, offset);
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
