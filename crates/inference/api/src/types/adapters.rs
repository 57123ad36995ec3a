use serde::{Deserialize, Serialize};

/// `POST /v1/load_lora_adapter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadAdapterRequest {
    /// What requests will call it.
    pub lora_name: String,
    /// Its folder on the server.
    pub lora_path: String,
    /// Replace one that was loaded under the same name.
    #[serde(default)]
    pub load_inplace: bool,
}

/// `POST /v1/unload_lora_adapter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadAdapterRequest {
    /// What requests call it.
    pub lora_name: String,
}

/// An adapter in a request's own composition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedAdapter {
    /// The adapter.
    pub name: String,
    /// What it counts; 1 when absent.
    #[serde(default = "one")]
    pub weight: f64,
}

const fn one() -> f64 {
    1.0
}
