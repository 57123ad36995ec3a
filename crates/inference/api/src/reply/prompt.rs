//! A prompt in the reply to it: repeated, and how probable it was.

use super::whole::Collected;
use crate::{
    text::TextModel,
    types::{CompletionLogprobs, PromptLogprob, PromptLogprobs},
};
use tributary_engine::PromptToken;

/// Log-probabilities of the prompt in vLLM's shape.
pub(super) fn prompt_logprobs(text: &TextModel, one: &Collected, wanted: bool) -> Option<PromptLogprobs> {
    if !wanted {
        return None;
    }
    let entry = |token: u32, logprob: f64, rank: u32| {
        (token.to_string(), PromptLogprob { logprob, rank, decoded_token: text.piece(token) })
    };
    let place = |seen: &PromptToken| {
        let top = seen.top.iter().zip(1..).map(|(other, rank)| entry(other.token, other.logprob, rank));
        Some(top.chain([entry(seen.token, seen.logprob, seen.rank)]).collect())
    };
    Some(std::iter::once(None).chain(one.outcome.prompt_logprobs.iter().map(place)).collect())
}

/// Puts the prompt's tokens before the answer's, in the older shape; the text they make.
pub(super) fn echo_logprobs(all: &mut CompletionLogprobs, text: &TextModel, one: &Collected) {
    let mut words = text.tokenizer().detokenizer();
    let (mut offset, seen) = (0, &one.outcome.prompt_logprobs);
    for (place, token) in one.prompt.iter().flatten().enumerate() {
        let seen = place.checked_sub(1).and_then(|before| seen.get(before));
        all.tokens.push(text.piece(*token));
        all.token_logprobs.push(seen.map(|seen| seen.logprob));
        all.top_logprobs.push(
            seen.map(|seen| seen.top.iter().map(|other| (text.piece(other.token), other.logprob)).collect()),
        );
        all.text_offset.push(offset);
        offset += words.push(*token).chars().count();
    }
}

/// The prompt's text, as it is repeated.
pub(super) fn echo(text: &TextModel, prompt: Option<&[u32]>) -> String {
    prompt.map(|prompt| text.tokenizer().decode(prompt)).unwrap_or_default()
}
