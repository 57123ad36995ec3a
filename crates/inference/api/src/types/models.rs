use serde::{Deserialize, Serialize};

/// `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// `list`
    pub object: String,
    /// The base model first, then adapters.
    pub data: Vec<ModelCard>,
}

/// A model that requests can name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// What requests call it.
    pub id: String,
    /// `model`
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// Its owner on chain, or `tributary`.
    pub owned_by: String,
    /// Where it comes from: the weights, or the adapter's uri.
    pub root: String,
    /// The base model of an adapter.
    pub parent: Option<String>,
    /// Tokens of context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
}

impl ModelCard {
    /// A base model.
    pub fn base(id: impl Into<String>, root: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            object: "model".into(),
            created: 0,
            owned_by: "tributary".into(),
            root: root.into(),
            parent: None,
            max_model_len: None,
        }
    }

    /// An adapter of a base model.
    pub fn adapter(id: impl Into<String>, root: impl Into<String>, parent: impl Into<String>) -> Self {
        Self { parent: Some(parent.into()), ..Self::base(id, root) }
    }
}
