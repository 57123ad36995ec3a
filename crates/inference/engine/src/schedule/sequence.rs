//! One answer in the making.

use crate::{
    backend::{Identity, PageId, SeqId, Wanted},
    commit::{HashChain, exec_hash},
    draft::{Lookup, Pace},
    engine::Ticket,
    grammar::{Grammar, TokenMask},
    kv::{PrefixChain, PrefixKey},
    request::{
        Event, FinishReason, GenerateError, GenerateRequest, Outcome, PromptToken, Timing, TokenEvent,
        TokenLogprob,
    },
    sampling::{Choosing, Seen},
    text::{TextStream, Vocabulary},
};
use alloy_primitives::B256;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

/// Agreement of the sequence with itself beyond which no other text is asked.
const CERTAIN: usize = 16;

/// A request with the engine's side of its channel.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) request: GenerateRequest,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) arrived: Instant,
    /// Held for what it says: that an engine has the request.
    pub(crate) ticket: Ticket,
}

impl Submission {
    /// A request whose events nobody waits for.
    pub(crate) fn detached(request: GenerateRequest) -> Self {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let (cancelled, arrived) = (Arc::default(), Instant::now());
        Self { request, events, cancelled, arrived, ticket: Ticket::detached() }
    }
}

/// How a grammar bounds the next choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constraint {
    /// Not at all.
    None,
    /// To the tokens of the mask.
    Mask,
    /// Nothing but a stop token is left, and it is too early for one: the grammar has the last word.
    Complete,
}

/// How an answer ends with a token.
#[derive(Debug)]
pub(crate) enum End {
    Finished(FinishReason, Option<usize>),
    Failed(GenerateError),
}

#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: SeqId,
    pub(crate) submission: Submission,
    /// Prompt, then answer.
    tokens: Vec<u32>,
    prompt: usize,
    /// Leading tokens whose K and V are in the pages.
    pub(crate) computed: usize,
    pub(crate) pages: Vec<PageId>,
    /// What its pages are known by, and how many of them are, or came from others.
    prefix: PrefixChain,
    published: usize,
    /// Tokens of the prompt that others had computed.
    spared: usize,
    page_tokens: usize,
    /// Whether the backend has its adapters.
    pub(crate) ready: bool,
    /// Whether it gave way before.
    preempted: bool,
    lookup: Lookup,
    pace: Pace,
    /// The last token and guesses behind it, while a step with guesses runs.
    guess: Vec<u32>,
    /// Tokens of the prompt that were looked at, from the second on.
    scored: Vec<PromptToken>,
    seen: Option<Seen>,
    text: TextStream,
    exec_hash: B256,
    chain: HashChain,
    started: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl Sequence {
    pub(crate) fn new(id: SeqId, submission: Submission, identity: &Identity, page_tokens: usize) -> Self {
        let request = &submission.request;
        let parts = request.adapters.parts();
        let grammar = request.grammar.as_ref().map(Grammar::hash);
        let exec_hash =
            exec_hash(identity, parts, &request.prompt, &request.sampling, &request.stop, grammar);
        Self {
            id,
            tokens: request.prompt.clone(),
            prompt: request.prompt.len(),
            computed: 0,
            pages: Vec::new(),
            prefix: PrefixChain::new(request, page_tokens),
            published: 0,
            spared: 0,
            page_tokens,
            ready: false,
            preempted: false,
            lookup: Lookup::default(),
            pace: Pace::default(),
            guess: Vec::new(),
            scored: Vec::new(),
            seen: request.sampling.has_penalties().then(|| Seen::new(&request.prompt)),
            text: TextStream::new(&request.stop.strings),
            exec_hash,
            chain: HashChain::new(exec_hash),
            started: None,
            first_token: None,
            last_token: None,
            submission,
        }
    }

    pub(crate) fn request(&self) -> &GenerateRequest {
        &self.submission.request
    }

    pub(crate) fn tenant(&self) -> u64 {
        self.submission.request.tenant
    }

    pub(crate) fn priority(&self) -> i32 {
        self.submission.request.priority
    }

    /// Its adapters, by artifact.
    pub(crate) fn adapters(&self) -> impl Iterator<Item = B256> {
        self.request().adapters.parts().iter().map(|part| part.hash)
    }

    /// Whether it never ran.
    pub(crate) fn is_new(&self) -> bool {
        !self.preempted
    }

    /// Tokens whose K and V are still to be computed, at least one.
    pub(crate) fn pending(&self) -> &[u32] {
        &self.tokens[self.computed..]
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn answer(&self) -> &[u32] {
        &self.tokens[self.prompt..]
    }

    pub(crate) fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Stop tokens that may not be chosen yet.
    pub(crate) fn masked(&self) -> &[u32] {
        let stop = &self.request().stop;
        if (self.answer().len() as u32) < stop.min_tokens { &stop.tokens } else { &[] }
    }

    /// How a backend may choose behind the wanted positions of this row, if a token is all that is asked there.
    pub(crate) fn choosing(&self, wanted: Wanted) -> Option<Choosing> {
        let request = self.request();
        // Without guesses, all positions are wanted for the prompt's own log-probabilities.
        let looked_at = wanted == Wanted::None || wanted == Wanted::All && !self.guesses();
        let shown = request.logprobs.is_some() || request.stop.max_tokens == 0;
        // Stop tokens that are ruled out at the first position may be allowed at a later one of the row, never the other way round.
        if looked_at || shown || request.grammar.is_some() || !self.masked().is_empty() {
            return None;
        }
        Choosing::of(&request.sampling, self.answer().len() as u32)
    }

    /// Fills in what the grammar allows of the tokens that may be chosen.
    pub(crate) fn constrain(
        &mut self,
        mask: &mut TokenMask,
        vocab: u32,
    ) -> Result<Constraint, GenerateError> {
        let Some(grammar) = &mut self.submission.request.grammar else { return Ok(Constraint::None) };
        mask.reset(vocab);
        grammar.mask(mask).map_err(GenerateError::Grammar)?;
        if mask.is_empty() {
            return Err(GenerateError::Grammar("allows no token".to_owned()));
        }
        self.masked().iter().for_each(|token| mask.forbid(*token));
        Ok(if mask.is_empty() { Constraint::Complete } else { Constraint::Mask })
    }

    pub(crate) fn mark_started(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// Why nobody waits for this answer any more.
    pub(crate) fn abandoned(&self, now: Instant) -> Option<FinishReason> {
        let submission = &self.submission;
        if submission.events.is_closed() || submission.cancelled.load(Ordering::Relaxed) {
            return Some(FinishReason::Cancelled);
        }
        submission.request.deadline.is_some_and(|deadline| now >= deadline).then_some(FinishReason::Deadline)
    }

    /// Forgets what was computed; the tokens stay, so the answer goes on with the same bits.
    pub(crate) fn preempt(&mut self) {
        self.computed = 0;
        self.published = 0;
        self.ready = false;
        self.preempted = true;
        self.forget_draft();
    }

    /// Whether what is computed fills its pages.
    pub(crate) fn at_page_start(&self) -> bool {
        self.computed.is_multiple_of(self.page_tokens)
    }

    /// What the page is known by that the next token goes to, if its tokens are all there.
    pub(crate) fn page_to_fill(&mut self) -> Option<PrefixKey> {
        self.prefix.key(&self.tokens, self.computed / self.page_tokens)
    }

    /// What a page is known by that need not be computed if it is found: one with a token behind it.
    pub(crate) fn page_to_adopt(&mut self, page: usize) -> Option<PrefixKey> {
        let follows = (page + 1) * self.page_tokens < self.tokens.len() && !self.scores();
        follows.then(|| self.prefix.key(&self.tokens, page)).flatten()
    }

    /// Goes on behind a page that another sequence computed. Tokens of its prompt that it is spared for the first time.
    pub(crate) fn share(&mut self, page: PageId) -> u64 {
        self.pages.push(page);
        self.computed += self.page_tokens;
        self.published = self.pages.len();
        if self.preempted {
            return 0;
        }
        self.spared += self.page_tokens;
        self.page_tokens as u64
    }

    /// The next page that is full and was not offered to others.
    pub(crate) fn next_full(&mut self) -> Option<(PageId, PrefixKey)> {
        let page = self.published;
        if (page + 1) * self.page_tokens > self.computed {
            return None;
        }
        let full = (*self.pages.get(page)?, self.prefix.key(&self.tokens, page)?);
        self.published += 1;
        Some(full)
    }

    /// The tokens of its row.
    pub(crate) fn row(&self, take: usize) -> &[u32] {
        if self.guess.is_empty() { &self.pending()[..take] } else { &self.guess[..take] }
    }

    /// Guesses what follows, at most `most` tokens; how many it has guessed.
    pub(crate) fn draft(&mut self, most: usize, vocab: u32) -> usize {
        let left = (self.request().stop.max_tokens as usize).saturating_sub(self.answer().len() + 1);
        let most = most.min(self.pace.most()).min(left);
        self.guess.clear();
        if most == 0 {
            return 0;
        }
        let own = self.lookup.draft(&self.tokens, most, &mut self.guess);
        if own < CERTAIN
            && let Some(source) = &self.submission.request.drafts
        {
            let mut quoted = Vec::new();
            if source.draft(&self.tokens, most, &mut quoted) > own {
                self.guess = quoted;
            }
        }
        let good = self.guess.iter().take(most).take_while(|token| **token < vocab).count();
        self.guess.truncate(good);
        if let (1.., Some(last)) = (good, self.tokens.last()) {
            self.guess.insert(0, *last);
        }
        good
    }

    /// The guess behind position `index` of its row.
    pub(crate) fn guessed(&self, index: usize) -> Option<u32> {
        self.guess.get(index + 1).copied()
    }

    pub(crate) fn forget_draft(&mut self) {
        self.guess.clear();
    }

    /// Of `drafted` tokens the first `right` were chosen.
    pub(crate) fn learn(&mut self, drafted: usize, right: usize) {
        self.pace.learn(drafted, right);
    }

    /// Whether tokens of its prompt are still to be looked at: each needs the logits before it, computed for itself.
    pub(crate) fn scores(&self) -> bool {
        self.request().prompt_logprobs.is_some() && self.scored.len() + 1 < self.prompt
    }

    /// The token of the prompt that is looked at next, if the logits of this position are those before it.
    pub(crate) fn to_score(&self, position: usize) -> Option<u32> {
        (self.scores() && position == self.scored.len()).then(|| self.tokens[position + 1])
    }

    pub(crate) fn score(&mut self, token: PromptToken) {
        self.scored.push(token);
    }

    /// Whether it runs guesses.
    pub(crate) const fn guesses(&self) -> bool {
        !self.guess.is_empty()
    }

    /// Whether this token would end the answer and be no part of it.
    pub(crate) fn is_stop(&self, token: u32) -> bool {
        let stop = &self.request().stop;
        (self.answer().len() as u32) >= stop.min_tokens && stop.tokens.contains(&token)
    }

    /// Hash of everything that went in.
    pub(crate) const fn exec_hash(&self) -> B256 {
        self.exec_hash
    }

    /// Head of the chain over the answer so far.
    pub(crate) fn chain_head(&self) -> B256 {
        self.chain.head()
    }

    /// Tokens of the prompt.
    pub(crate) const fn prompt_tokens(&self) -> usize {
        self.prompt
    }

    /// Now there is another token: how long after the one before.
    pub(crate) fn lap(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.last_token.replace(now).map(|last| now - last)
    }

    /// Takes a chosen token. Some when the answer ends with it.
    pub(crate) fn accept(
        &mut self,
        token: u32,
        normed: &[u8],
        logprobs: Option<(f64, Vec<TokenLogprob>)>,
        vocabulary: &dyn Vocabulary,
    ) -> Option<End> {
        self.first_token.get_or_insert_with(Instant::now);
        if self.is_stop(token) {
            return Some(End::Finished(FinishReason::Stop, None));
        }
        self.tokens.push(token);
        self.pace.earn();
        self.chain.push(normed, token);
        if let Some(seen) = &mut self.seen {
            seen.push(token);
        }
        let watch = self.answer().len() as u32 >= self.request().stop.min_tokens;
        let added = self.text.push(vocabulary.bytes(token), watch);
        let (logprob, top) = match logprobs {
            Some((logprob, top)) => (Some(logprob), top),
            None => (None, Vec::new()),
        };
        // A closed channel is seen as a cancellation before the next step.
        drop(self.submission.events.send(Event::Token(TokenEvent { token, text: added.text, logprob, top })));
        if let Some(stop) = added.stopped {
            return Some(End::Finished(FinishReason::Stop, Some(stop)));
        }
        match self.submission.request.grammar.as_mut().map(|grammar| grammar.commit(token)) {
            Some(Err(reason)) => return Some(End::Failed(GenerateError::Grammar(reason))),
            Some(Ok(true)) => return Some(End::Finished(FinishReason::Stop, None)),
            Some(Ok(false)) | None => {}
        }
        let full = self.answer().len() as u32 >= self.request().stop.max_tokens;
        full.then_some(End::Finished(FinishReason::Length, None))
    }

    /// Sends the end. What was generated before a cancellation or deadline still counts.
    pub(crate) fn finish(mut self, reason: FinishReason, stop: Option<usize>) {
        if self.answer().is_empty() && reason == FinishReason::Deadline {
            return self.fail(GenerateError::Deadline);
        }
        if self.answer().is_empty() && reason == FinishReason::Cancelled {
            return self.fail(GenerateError::Cancelled);
        }
        let tail = self.text.flush();
        let timing = self.timing();
        let outcome = Outcome {
            reason,
            stop_string: stop.map(|index| self.request().stop.strings[index].clone()),
            tail,
            tokens: self.answer().to_vec(),
            prompt_tokens: self.prompt as u32,
            prompt_logprobs: std::mem::take(&mut self.scored),
            cached_tokens: self.spared as u32,
            exec_hash: self.exec_hash,
            logits_root: self.chain.head(),
            sampling: self.request().sampling.encode(),
            timing,
        };
        crate::metrics::finished(&outcome);
        drop(self.submission.events.send(Event::Finished(Box::new(outcome))));
    }

    /// Sends the failure.
    pub(crate) fn fail(self, error: GenerateError) {
        crate::metrics::failed(&error);
        drop(self.submission.events.send(Event::Failed(error)));
    }

    fn timing(&self) -> Timing {
        let arrived = self.submission.arrived;
        Timing {
            queued: self.started.map(|at| at - arrived).unwrap_or_default(),
            first_token: self.first_token.map(|at| at - arrived),
            total: arrived.elapsed(),
        }
    }
}
