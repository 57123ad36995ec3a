//! Every failure a client can see: a status and OpenAI's error object.

use crate::{
    keys::Shortage,
    payment::Refusal,
    resolve::ResolveError,
    types::{ErrorBody, ErrorReply, PaymentRequired},
    voucher::VoucherError,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use std::{borrow::Cow, time::Duration};
use tributary_adapters::{AdapterError, Severity};
use tributary_engine::{GenerateError, SubmitError};

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The body is not what the endpoint takes.
    #[error("{message}")]
    Invalid {
        /// For people.
        message: String,
        /// The field at fault.
        param: Option<Cow<'static, str>>,
    },
    /// A field asks for what this server does not do.
    #[error("`{0}` is not supported by this server")]
    Unsupported(String),
    /// The prompt leaves no room for an answer.
    #[error("{message}")]
    TooLong {
        /// For people.
        message: String,
        /// The field that it came from.
        param: Option<&'static str>,
    },
    /// The body exceeds its bound.
    #[error("the request body exceeds {0} bytes")]
    BodyTooLarge(usize),
    /// The body took too long to arrive.
    #[error("the request's body took too long to arrive")]
    LateBody,
    /// No API key, or one that is not known.
    #[error("a valid API key is required")]
    Unauthorized,
    /// Only an administrator may, if there is one.
    #[error("adapters are loaded and unloaded by an administrator only, with the key of `--api.admin-key`")]
    Forbidden,
    /// No such path.
    #[error("no such endpoint")]
    NoEndpoint,
    /// The path takes another method.
    #[error("this endpoint takes another method")]
    Method,
    /// No model of that name is served here or registered.
    #[error("the model `{0}` does not exist")]
    ModelNotFound(String),
    /// No adapter of that name, for a composition.
    #[error("the model `{name}` does not exist")]
    PartNotFound {
        /// The name.
        name: String,
        /// Which of the composition's.
        at: usize,
    },
    /// No adapter of that name was loaded, so none can be unloaded.
    #[error("no adapter `{0}` was loaded")]
    AdapterNotLoaded(String),
    /// Nothing here embeds.
    #[error("this node serves no embeddings: it is started with `--embeddings` to serve them")]
    NoEmbeddings,
    /// The adapter's data or artifact cannot be had, or is not what was registered.
    #[error("{0}")]
    DataUnavailable(String),
    /// Payment is missing or short.
    #[error("{message}")]
    Payment {
        /// For people.
        message: String,
        /// For programs.
        code: &'static str,
        /// What is asked.
        terms: Box<PaymentRequired>,
    },
    /// The voucher header is malformed.
    #[error("{0}")]
    Voucher(#[from] VoucherError),
    /// Too much at once.
    #[error("{message}")]
    Busy {
        /// For people.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
    /// The request's own computation failed.
    #[error("{0}")]
    Unprocessable(String),
    /// The request's grammar took too much work, or led nowhere, on the way.
    #[error("{0}")]
    GrammarFailed(String),
    /// A fault of this server.
    #[error("{0}")]
    Internal(String),
}

/// The result of a handler.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()) }
    }

    pub(crate) fn too_long(param: &'static str, message: impl Into<String>) -> Self {
        Self::TooLong { message: message.into(), param: Some(param) }
    }

    /// A key has not so many tokens. Where a minute never has, waiting would help nobody.
    pub(crate) fn short(shortage: Shortage, tokens: u64) -> Self {
        match shortage {
            Shortage::Now(retry_after) => Self::Busy {
                message: "the API key's tokens of this minute are used, or set aside for its other requests"
                    .into(),
                retry_after,
            },
            Shortage::Ever(limit) => {
                let message = format!("the prompt has {tokens} tokens, the API key has {limit} a minute");
                Self::TooLong { message, param: None }
            }
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::Unsupported(_) | Self::TooLong { .. } | Self::Voucher(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LateBody => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoEndpoint
            | Self::ModelNotFound(_)
            | Self::PartNotFound { .. }
            | Self::AdapterNotLoaded(_)
            | Self::NoEmbeddings => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::DataUnavailable(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Payment { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unprocessable(_) | Self::GrammarFailed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::Payment { .. } => "payment_required",
            Self::Busy { .. } => "rate_limit_error",
            Self::DataUnavailable(_) | Self::Unavailable(_) => "service_unavailable",
            Self::Internal(_) => "server_error",
            _ => "invalid_request_error",
        }
    }

    const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { .. } | Self::Internal(_) => None,
            Self::Unsupported(_) => Some("unsupported_parameter"),
            Self::TooLong { .. } => Some("context_length_exceeded"),
            Self::BodyTooLarge(_) => Some("body_too_large"),
            Self::LateBody => Some("request_timeout"),
            Self::Unauthorized => Some("invalid_api_key"),
            Self::Forbidden => Some("forbidden"),
            Self::NoEndpoint => Some("unknown_url"),
            Self::Method => Some("method_not_allowed"),
            Self::ModelNotFound(_) | Self::PartNotFound { .. } | Self::AdapterNotLoaded(_) => {
                Some("model_not_found")
            }
            Self::NoEmbeddings => Some("no_embeddings"),
            Self::DataUnavailable(_) => Some("data_unavailable"),
            Self::Payment { code, .. } => Some(code),
            Self::Voucher(_) => Some("invalid_voucher"),
            Self::Busy { .. } => Some("rate_limit_exceeded"),
            Self::Unavailable(_) => Some("unavailable"),
            Self::Unprocessable(_) => Some("non_finite"),
            Self::GrammarFailed(_) => Some("grammar_failed"),
        }
    }

    fn param(&self) -> Option<String> {
        match self {
            Self::Invalid { param, .. } => param.as_deref().map(str::to_owned),
            Self::Unsupported(field) => Some(field.clone()),
            Self::TooLong { param, .. } => param.map(str::to_owned),
            Self::ModelNotFound(_) => Some("model".into()),
            Self::PartNotFound { at, .. } => Some(format!("adapters[{at}].name")),
            Self::AdapterNotLoaded(_) => Some("lora_name".into()),
            _ => None,
        }
    }

    /// The body.
    pub fn reply(&self) -> ErrorReply {
        let error = ErrorBody {
            message: self.to_string(),
            kind: self.kind().into(),
            param: self.param(),
            code: self.code().map(str::to_owned),
        };
        let payment = match self {
            Self::Payment { terms, .. } => Some(terms.clone()),
            _ => None,
        };
        ErrorReply { error, payment }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.reply())).into_response();
        let retry = match &self {
            // Nobody is to come back a moment too early.
            Self::Busy { retry_after, .. } => Some(retry_after.as_secs_f64().ceil().max(1.0) as u64),
            Self::Unavailable(_) | Self::DataUnavailable(_) => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthorized) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::EmptyPrompt => Self::invalid("prompt", message),
            SubmitError::BadToken(_) => Self::invalid("prompt", message),
            SubmitError::NoTokens => Self::invalid("max_tokens", message),
            SubmitError::TooLong { .. } => Self::TooLong { message, param: None },
            SubmitError::Overloaded(_) => Self::Busy { message, retry_after: Duration::from_secs(1) },
            _ => Self::Unavailable(message),
        }
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        let message = error.to_string();
        match error {
            GenerateError::NonFinite => Self::Unprocessable(message),
            GenerateError::TooLong { .. } => Self::TooLong { message, param: None },
            GenerateError::Grammar(_) => Self::GrammarFailed(message),
            GenerateError::Refused(_) | GenerateError::Backend(_) => Self::Internal(message),
            _ => Self::Unavailable(message),
        }
    }
}

impl From<AdapterError> for ApiError {
    fn from(error: AdapterError) -> Self {
        match (&error, error.severity()) {
            (AdapterError::Composition(_), _) => Self::invalid("adapters", error.to_string()),
            (AdapterError::Busy(_), _) => {
                Self::Busy { message: error.to_string(), retry_after: Duration::from_secs(5) }
            }
            (AdapterError::Internal(_), _) => {
                tracing::error!(%error, "Adapter loading failed");
                Self::Internal("the adapter could not be loaded".into())
            }
            (_, Severity::Retry | Severity::Reject | Severity::Fatal) => {
                Self::DataUnavailable(format!("the adapter cannot be loaded: {error}"))
            }
        }
    }
}

impl From<ResolveError> for ApiError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound(name) => Self::ModelNotFound(name),
            ResolveError::DataUnavailable(reason) => Self::DataUnavailable(reason),
            ResolveError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Payment { message, code, terms } => Self::Payment { message, code, terms },
            Refusal::Invalid(message) => Self::Invalid { message, param: None },
            Refusal::Busy { message, retry_after } => Self::Busy { message, retry_after },
            Refusal::Unavailable(message) => Self::Unavailable(message),
        }
    }
}
