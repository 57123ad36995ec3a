//! From a request's fields to what the engine takes, every bound checked.

use crate::{
    config::ApiConfig,
    error::{ApiError, Result},
    text::TextModel,
    types::{ChatMessage, SamplingFields, Stop},
};
use serde_json::{Map, Value};
use tributary_engine::{PPM, SamplingParams, StopRules};

/// Fields of OpenAI's and vLLM's requests that do not change what this server answers.
const HARMLESS: &[&str] = &[
    "guided_decoding_backend",
    "metadata",
    "priority",
    "prompt_cache_key",
    "request_id",
    "safety_identifier",
    "service_tier",
    "spaces_between_special_tokens",
    "store",
    "user",
];

/// Refuses fields that would change the answer and that nothing here honours.
pub(crate) fn refuse_unknown(rest: &Map<String, Value>) -> Result<()> {
    for (field, value) in rest {
        // What is on unless somebody turns it off.
        if matches!(field.as_str(), "skip_special_tokens" | "add_generation_prompt" | "detokenize") {
            if value.is_null() || value == true {
                continue;
            }
            return Err(ApiError::Unsupported(field.clone()));
        }
        let known = match field.as_str() {
            "best_of" => value.as_u64() == Some(1),
            "modalities" => value.as_array().is_some_and(|all| all.iter().all(|one| one == "text")),
            "function_call" => value == "none" || value == "auto",
            "length_penalty" => value.as_f64() == Some(1.0),
            name => HARMLESS.contains(&name),
        };
        let off = match value {
            Value::Null => true,
            Value::Bool(on) => !on,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Number(_) => false,
        };
        if !known && !off {
            return Err(ApiError::Unsupported(field.chars().take(64).collect()));
        }
    }
    Ok(())
}

/// How many messages a conversation has.
pub(crate) fn check_messages(messages: &[ChatMessage], config: &ApiConfig) -> Result<()> {
    if messages.is_empty() || messages.len() > config.messages {
        let message = format!("a conversation has between 1 and {} messages", config.messages);
        return Err(ApiError::invalid("messages", message));
    }
    Ok(())
}

/// How many alternatives to report of a prompt's tokens.
pub(crate) fn prompt_logprobs(
    fields: &SamplingFields,
    stream: bool,
    config: &ApiConfig,
) -> Result<Option<u8>> {
    const FIELD: &str = "prompt_logprobs";
    match fields.prompt_logprobs {
        None => Ok(None),
        Some(_) if stream => {
            Err(ApiError::invalid(FIELD, "`prompt_logprobs` and `stream` exclude each other"))
        }
        Some(top) if top > config.top_logprobs => {
            Err(ApiError::invalid(FIELD, format!("`prompt_logprobs` is {} at most", config.top_logprobs)))
        }
        Some(top) => Ok(Some(u8::try_from(top).unwrap_or(u8::MAX))),
    }
}

/// How many answers to each prompt.
pub(crate) fn choices(fields: &SamplingFields, prompts: usize, config: &ApiConfig) -> Result<u32> {
    let n = fields.n.unwrap_or(1);
    let total = u64::from(n) * prompts as u64;
    if n == 0 || total > u64::from(config.choices) {
        return Err(ApiError::invalid(
            "n",
            format!("a request must have between 1 and {} answers", config.choices),
        ));
    }
    Ok(n)
}

/// The sampling parameters of the first choice; the others differ in `choice` alone.
pub(crate) fn sampling(fields: &SamplingFields, config: &ApiConfig) -> Result<SamplingParams> {
    let top_k = match fields.top_k.unwrap_or(0) {
        -1 => 0,
        k => u32::try_from(k).map_err(|_| ApiError::invalid("top_k", "`top_k` must be -1, 0 or more"))?,
    };
    let top_p = fields.top_p.unwrap_or(1.0);
    if top_p.is_nan() || top_p <= 0.0 || top_p > 1.0 {
        return Err(ApiError::invalid("top_p", "`top_p` must be above 0, at most 1"));
    }
    let params = SamplingParams {
        temperature: fields.temperature.unwrap_or(1.0) as f32,
        top_k,
        top_p: millionths(top_p),
        min_p: millionths(fields.min_p.unwrap_or(0.0)),
        repetition: fields.repetition_penalty.unwrap_or(1.0) as f32,
        presence: fields.presence_penalty.unwrap_or(0.0) as f32,
        frequency: fields.frequency_penalty.unwrap_or(0.0) as f32,
        bias: bias(fields, config)?,
        seed: fields.seed.map_or_else(rand::random, i64::cast_unsigned),
        choice: 0,
    };
    params.normalise().map_err(|error| ApiError::invalid(error.field, error.to_string()))
}

/// Rounded to the nearest millionth. What is out of range stays out of range.
fn millionths(share: f64) -> u32 {
    if share.is_nan() || share < 0.0 {
        return u32::MAX;
    }
    (share * f64::from(PPM)).round_ties_even() as u32
}

fn bias(fields: &SamplingFields, config: &ApiConfig) -> Result<Vec<(u32, f32)>> {
    let Some(bias) = &fields.logit_bias else { return Ok(Vec::new()) };
    if bias.len() > config.biases {
        let message = format!("`logit_bias` may have {} entries at most", config.biases);
        return Err(ApiError::invalid("logit_bias", message));
    }
    bias.iter()
        .map(|(token, bias)| {
            let token = token
                .parse()
                .map_err(|_| ApiError::invalid("logit_bias", "keys of `logit_bias` are token ids"))?;
            Ok((token, *bias as f32))
        })
        .collect()
}

/// Tokens that fields name are the model's: others would be named in vain.
pub(crate) fn check_tokens(fields: &SamplingFields, vocab: usize) -> Result<()> {
    let biased = fields.logit_bias.iter().flatten().filter_map(|(token, _)| token.parse().ok());
    let stops = fields.stop_token_ids.iter().flatten().copied();
    let mut named =
        biased.map(|token| ("logit_bias", token)).chain(stops.map(|token| ("stop_token_ids", token)));
    match named.find(|(_, token): &(_, u32)| *token as usize >= vocab) {
        None => Ok(()),
        Some((field, token)) => Err(ApiError::invalid(
            field,
            format!("`{field}`: token {token} is not in the vocabulary of {vocab}"),
        )),
    }
}

/// When to stop, given what the prompt leaves of the context. `zero`: no answer at all is one.
pub(crate) fn stop_rules(
    fields: &SamplingFields,
    config: &ApiConfig,
    text: &TextModel,
    default_max: Option<u32>,
    room: u32,
    zero: bool,
) -> Result<StopRules> {
    let max = fields.max_completion_tokens.or(fields.max_tokens).or(default_max).unwrap_or(room);
    if max == 0 && !zero {
        let field =
            if fields.max_completion_tokens.is_some() { "max_completion_tokens" } else { "max_tokens" };
        return Err(ApiError::invalid(field, format!("`{field}` must be 1 at least")));
    }
    let max_tokens = max.min(room);
    let min_tokens = fields.min_tokens.unwrap_or(0);
    if min_tokens > max_tokens {
        return Err(ApiError::invalid("min_tokens", "`min_tokens` exceeds `max_tokens`"));
    }
    let strings = match fields.stop.clone() {
        None => Vec::new(),
        Some(Stop::One(one)) => vec![one],
        Some(Stop::Many(many)) => many,
    };
    if strings.len() > config.stops {
        return Err(ApiError::invalid("stop", format!("`stop` may have {} strings at most", config.stops)));
    }
    if strings.iter().any(|stop| stop.is_empty() || stop.len() > config.stop_bytes) {
        let message = format!("a stop string has between 1 and {} bytes", config.stop_bytes);
        return Err(ApiError::invalid("stop", message));
    }
    let mut tokens = fields.stop_token_ids.clone().unwrap_or_default();
    if tokens.len() > config.stops {
        let message = format!("`stop_token_ids` may have {} entries at most", config.stops);
        return Err(ApiError::invalid("stop_token_ids", message));
    }
    if !fields.ignore_eos.unwrap_or(false) {
        tokens.extend_from_slice(text.tokenizer().eos());
    }
    tokens.sort_unstable();
    tokens.dedup();
    Ok(StopRules { max_tokens, min_tokens, tokens, strings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> SamplingFields {
        serde_json::from_str(json).unwrap()
    }

    fn fault(json: &str) -> String {
        match sampling(&fields(json), &ApiConfig::default()).unwrap_err() {
            ApiError::Invalid { param: Some(param), .. } => param.into_owned(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_on_by_default_cannot_be_turned_off_in_silence() {
        let refused = |json: &str| refuse_unknown(&serde_json::from_str(json).unwrap()).is_err();
        for field in ["skip_special_tokens", "add_generation_prompt"] {
            assert!(refused(&format!(r#"{{"{field}":false}}"#)));
            assert!(
                !refused(&format!(r#"{{"{field}":true}}"#)) && !refused(&format!(r#"{{"{field}":null}}"#))
            );
        }
        assert!(!refused(r#"{"store":false,"user":"me"}"#) && refused(r#"{"use_beam_search":true}"#));
    }

    #[test]
    fn out_of_range_fields_are_named() {
        assert_eq!(fault(r#"{"temperature":-0.1}"#), "temperature");
        assert_eq!(fault(r#"{"temperature":1e40}"#), "temperature");
        assert_eq!(fault(r#"{"top_p":0}"#), "top_p");
        assert_eq!(fault(r#"{"top_p":1.01}"#), "top_p");
        assert_eq!(fault(r#"{"min_p":-0.5}"#), "min_p");
        assert_eq!(fault(r#"{"top_k":-2}"#), "top_k");
        assert_eq!(fault(r#"{"top_k":99999999999}"#), "top_k");
        assert_eq!(fault(r#"{"presence_penalty":2.5}"#), "presence_penalty");
        assert_eq!(fault(r#"{"repetition_penalty":0}"#), "repetition_penalty");
        assert_eq!(fault(r#"{"logit_bias":{"x":1}}"#), "logit_bias");
        assert_eq!(fault(r#"{"logit_bias":{"5":1e9}}"#), "logit_bias");
    }

    #[test]
    fn fields_map_exactly() {
        let json = r#"{"temperature":0.7,"top_p":0.9,"min_p":0.05,"top_k":-1,"seed":-1,"logit_bias":{"9":1.5,"3":-2}}"#;
        let params = sampling(&fields(json), &ApiConfig::default()).unwrap();
        assert_eq!((params.top_p, params.min_p, params.top_k), (900_000, 50_000, 0));
        assert_eq!((params.temperature, params.seed), (0.7f32, u64::MAX));
        assert_eq!(params.bias, [(3, -2.0), (9, 1.5)]);
    }

    #[test]
    fn what_changes_the_answer_is_refused() {
        let rest = |json: &str| refuse_unknown(&serde_json::from_str(json).unwrap());
        for fine in [
            r#"{"user":"me","store":false,"metadata":{"a":"b"}}"#,
            r#"{"functions":null,"function_call":"none"}"#,
            r#"{"best_of":1,"suffix":null}"#,
        ] {
            rest(fine).unwrap();
        }
        for (json, field) in [
            (r#"{"functions":[{"name":"f"}]}"#, "functions"),
            (r#"{"suffix":"x"}"#, "suffix"),
            (r#"{"guided_whitespace_pattern":"x"}"#, "guided_whitespace_pattern"),
            (r#"{"best_of":3}"#, "best_of"),
            (r#"{"never_heard_of":1}"#, "never_heard_of"),
        ] {
            assert_eq!(rest(json), Err(ApiError::Unsupported(field.into())));
        }
    }

    #[test]
    fn tokens_beyond_the_vocabulary_are_refused() {
        let check = |json: &str| check_tokens(&fields(json), 260).map_err(|error| error.reply().error.param);
        assert_eq!(check(r#"{"logit_bias":{"0":1,"259":1},"stop_token_ids":[0,259]}"#), Ok(()));
        assert_eq!(check(r#"{"logit_bias":{"0":1,"260":1}}"#), Err(Some("logit_bias".into())));
        assert_eq!(check(r#"{"stop_token_ids":[5,4294967295]}"#), Err(Some("stop_token_ids".into())));
    }

    #[test]
    fn special_tokens_are_not_added_in_silence() {
        let refused = |json: &str| refuse_unknown(&serde_json::from_str(json).unwrap()).is_err();
        assert!(refused(r#"{"add_special_tokens":true}"#) && !refused(r#"{"add_special_tokens":false}"#));
    }

    #[test]
    fn choices_are_bounded() {
        let config = ApiConfig::default();
        assert_eq!(choices(&fields("{}"), 3, &config), Ok(1));
        assert!(choices(&fields(r#"{"n":0}"#), 1, &config).is_err());
        assert!(choices(&fields(r#"{"n":9}"#), 2, &config).is_err());
        assert!(choices(&fields(r#"{"n":4294967295}"#), 4, &config).is_err());
    }
}
