//! From a checked request to answers in the engine.

use crate::{
    config::ApiConfig,
    error::{ApiError, Result},
    keys::{Shortage, Tally},
    metrics, params,
    payment::{Ask, Meter},
    resolve::ResolvedModel,
    service::{Api, Caller},
    structured::Asked,
    types::SamplingFields,
};
use alloy_primitives::{B256, keccak256};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tributary_engine::{AdapterSet, EngineInfo, GenerateRequest, Generation, SamplingParams, StopRules};
use tributary_grammar::Compiled;

/// What is to be generated.
pub(crate) struct Order<'a> {
    pub(crate) caller: Caller,
    pub(crate) model: ResolvedModel,
    pub(crate) prompts: Vec<Vec<u32>>,
    /// The field that they came from.
    pub(crate) input: &'static str,
    pub(crate) fields: &'a SamplingFields,
    /// `max_tokens` where the request names none; none: whatever the context leaves.
    pub(crate) default_max: Option<u32>,
    pub(crate) logprobs: Option<u8>,
    /// What the answer has to look like, with the field that says so.
    pub(crate) shape: Option<Asked>,
    /// Report log-probabilities of the prompt.
    pub(crate) prompt_logprobs: Option<u8>,
    /// Repeat the prompt before the answer.
    pub(crate) echo: bool,
}

/// Answers being generated.
pub(crate) struct Job {
    /// Hash part of the reply's id: the first answer's request id.
    pub(crate) id: B256,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) answers: Vec<Answer>,
}

/// One of them.
pub(crate) struct Answer {
    pub(crate) index: u32,
    pub(crate) meter: Box<dyn Meter>,
    pub(crate) generation: Generation,
    pub(crate) tally: Tally,
    /// To be repeated, or reported of.
    pub(crate) prompt: Option<Vec<u32>>,
}

/// One that passed the gate and is not in the engine yet.
struct Passed<'a> {
    prompt: &'a [u32],
    stop: StopRules,
    meter: Box<dyn Meter>,
    tally: Tally,
    /// Tokens of the prompt, where this is the answer that they count with: the first to it.
    charged: u64,
}

/// What all answers of a request have in common.
struct Common<'a> {
    order: &'a Order<'a>,
    sampling: SamplingParams,
    grammar: Option<Compiled>,
    adapters: AdapterSet,
    salt: B256,
    deadline: Instant,
}

impl Api {
    /// Sets tokens aside, passes the gate, leases the adapters and puts every answer in line.
    pub(crate) async fn open(&self, order: Order<'_>) -> Result<Job> {
        let deadline = Instant::now() + self.config().request_timeout;
        let info = self.info()?;
        let n = params::choices(order.fields, order.prompts.len(), self.config())?;
        if order.caller.voucher.is_some() && n as usize * order.prompts.len() != 1 {
            return Err(ApiError::invalid("n", "a voucher pays for one answer to one prompt"));
        }
        let sampling = params::sampling(order.fields, self.config())?;
        params::check_tokens(order.fields, self.text().tokenizer().vocab())?;
        let stops = self.stops(&order, n, &info)?;
        let tally = order.reserve(n, &stops)?;
        let grammar = match order.shape.clone() {
            Some((field, shape)) => Some(self.compiler.compile(field, shape).await?),
            None => None,
        };
        let passed = self.pass(&order, n, stops, tally).await?;
        let loading = self.parts.store.lease(&order.model.composition);
        let adapters = tokio::time::timeout_at(deadline.into(), loading)
            .await
            .map_err(|_| ApiError::Unavailable("the adapter took too long to load".into()))??;
        metrics::opened(&order, n, passed.iter().map(|one| one.stop.max_tokens).max().unwrap_or(0));
        let salt = order.fields.cache_salt.as_ref().map(keccak256).unwrap_or_default();
        let common = Common { order: &order, sampling, grammar, adapters, salt, deadline };
        let answers = (0..).zip(passed).map(|(index, one)| self.submit(&common, index, one));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok(Job {
            id: answers.first().map(|answer| answer.meter.request_id()).unwrap_or_default(),
            created: unix_now(),
            prompt_tokens: order.prompt_tokens(),
            model: order.model.name,
            answers,
        })
    }

    /// When the answers to each prompt end.
    fn stops(&self, order: &Order<'_>, n: u32, info: &EngineInfo) -> Result<Vec<StopRules>> {
        let (config, zero) = (self.config(), order.echo || order.prompt_logprobs.is_some());
        let share = order.share(n).unwrap_or(u32::MAX);
        let stop = |prompt: &Vec<u32>| {
            let room = room(order.input, prompt, info, config)?.min(share);
            params::stop_rules(order.fields, config, self.text(), order.default_max, room, zero)
        };
        order.prompts.iter().map(stop).collect()
    }

    /// Has the gate look at every answer. What is set aside and paid for by no voucher is given back.
    async fn pass<'a>(
        &self,
        order: &'a Order<'_>,
        n: u32,
        stops: Vec<StopRules>,
        mut tally: Tally,
    ) -> Result<Vec<Passed<'a>>> {
        let mut passed = Vec::new();
        for (prompt, stop) in order.prompts.iter().zip(stops) {
            for answer in 0..n {
                let meter = self.authorize(order, prompt, stop.max_tokens.max(1)).await?;
                let budget = meter.max_output_tokens().unwrap_or(u32::MAX);
                if budget == 0 {
                    let message = "the voucher's cap pays for no token of answer";
                    return Err(ApiError::invalid("max_tokens", message));
                }
                let mut stop = stop.clone();
                stop.max_tokens = stop.max_tokens.min(budget);
                stop.min_tokens = stop.min_tokens.min(budget);
                let charged = if answer == 0 { prompt.len() as u64 } else { 0 };
                let tally = tally.part(charged + u64::from(stop.max_tokens));
                passed.push(Passed { prompt, stop, meter, tally, charged });
            }
        }
        Ok(passed)
    }

    async fn authorize(&self, order: &Order<'_>, prompt: &[u32], max_tokens: u32) -> Result<Box<dyn Meter>> {
        let ask = Ask {
            voucher: order.caller.voucher.clone(),
            model: order.model.clone(),
            prompt_tokens: prompt.len() as u32,
            max_tokens,
            body_hash: order.caller.body_hash,
        };
        Ok(self.parts.gate.authorize(ask).await?)
    }

    fn submit(&self, common: &Common<'_>, index: u32, one: Passed<'_>) -> Result<Answer> {
        let (order, Passed { prompt, stop, meter, mut tally, charged }) = (common.order, one);
        let mut sampling = common.sampling.clone();
        sampling.choice = index;
        // A prompt without an answer is computed for the sake of its tokens.
        let silent = (stop.max_tokens == 0).then_some(0);
        let generation = self.parts.engine.submit(GenerateRequest {
            prompt: prompt.to_vec(),
            adapters: common.adapters.clone(),
            sampling,
            stop,
            logprobs: order.logprobs,
            prompt_logprobs: order.prompt_logprobs.or(silent),
            tenant: order.caller.tenant,
            cache_salt: common.salt,
            priority: order.caller.key.as_ref().map_or(0, |key| key.priority()),
            deadline: Some(common.deadline),
            grammar: common.grammar.as_ref().map(Compiled::start),
            drafts: meter.drafts(),
        })?;
        tally.count(charged);
        let told = order.echo || order.prompt_logprobs.is_some();
        Ok(Answer { index, meter, generation, tally, prompt: told.then(|| prompt.to_vec()) })
    }
}

impl Order<'_> {
    /// Tokens of the prompts, each of which counts once however many answers there are to it.
    fn prompt_tokens(&self) -> u64 {
        self.prompts.iter().map(|prompt| prompt.len() as u64).sum()
    }

    /// Tokens of each answer that the caller's key has now. None where it has no limit, or where the request says itself how many there
    /// may be.
    fn share(&self, n: u32) -> Option<u32> {
        if self.fields.max_completion_tokens.or(self.fields.max_tokens).is_some() {
            return None;
        }
        let answers = u64::from(n) * self.prompts.len() as u64;
        let share = self.caller.key.as_ref()?.share(self.prompt_tokens())? / answers.max(1);
        Some(u32::try_from(share).unwrap_or(u32::MAX).max(1))
    }

    /// Sets aside what the request comes to at most.
    fn reserve(&self, n: u32, stops: &[StopRules]) -> Result<Tally> {
        let prompts = self.prompt_tokens();
        let answers: u64 = stops.iter().map(|stop| u64::from(n) * u64::from(stop.max_tokens)).sum();
        Tally::reserve(self.caller.key.as_ref(), prompts + answers).map_err(|shortage| match shortage {
            Shortage::Ever(limit) if prompts < u64::from(limit) => {
                let message = format!(
                    "the request may come to {prompts} tokens of prompt and {answers} of answer, the API key has {limit} a minute: \
                     ask for fewer by `max_tokens`"
                );
                ApiError::invalid("max_tokens", message)
            }
            shortage => ApiError::short(shortage, prompts),
        })
    }
}

/// Tokens of answer that the context leaves.
fn room(input: &'static str, prompt: &[u32], info: &EngineInfo, config: &ApiConfig) -> Result<u32> {
    let context = info.limits.context;
    if prompt.len() > config.prompt_tokens as usize {
        let (tokens, most) = (prompt.len(), config.prompt_tokens);
        let message = format!("the prompt has {tokens} tokens, this server takes {most}");
        return Err(ApiError::too_long(input, message));
    }
    if prompt.is_empty() {
        return Err(ApiError::invalid(input, "the prompt has no tokens"));
    }
    match u32::try_from(prompt.len()).ok().and_then(|prompt| context.checked_sub(prompt)) {
        None | Some(0) => {
            let message = format!("the prompt has {} tokens, the model's context is {context}", prompt.len());
            Err(ApiError::too_long(input, message))
        }
        Some(room) => Ok(room.min(config.output_tokens)),
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
