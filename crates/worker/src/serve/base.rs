//! Which base model on chain is the one that was loaded.

use alloy_primitives::B256;
use parking_lot::Mutex;

use crate::chain::{ChainError, Registry};

/// The model in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalBase {
    /// What requests may call it, on chain or not.
    pub name: String,
    /// Hash of its weights.
    pub weights: B256,
    /// Hash of its tokenizer.
    pub tokenizer: B256,
    /// Hash of the numeric profile it runs in.
    pub profile: B256,
}

/// The model in memory and its registration.
#[derive(Debug)]
pub struct BaseModel {
    /// The model in memory.
    pub local: LocalBase,
    registry: Registry,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Models looked at so far.
    seen: u64,
    id: Option<u64>,
}

impl BaseModel {
    /// The model in memory, to be looked for on chain.
    pub fn new(local: LocalBase, registry: Registry) -> Self {
        Self { local, registry, known: Mutex::default() }
    }

    /// Its id on chain: the first base model of the same weights, tokenizer and profile that is not retired.
    pub fn id(&self) -> Result<Option<u64>, ChainError> {
        let head = self.registry.chain().head().number;
        let mut known = self.known.lock();
        if let Some(id) = known.id {
            if !self.registry.model_retired(id, head)? {
                return Ok(Some(id));
            }
            *known = Known::default();
        }
        let count = self.registry.model_count()?;
        if count < known.seen {
            // The chain was reorganised.
            *known = Known::default();
        }
        while known.seen < count && known.id.is_none() {
            let id = known.seen + 1;
            if self.registry.model(id)?.is_some_and(|model| self.is(&model))
                && !self.registry.model_retired(id, head)?
            {
                known.id = Some(id);
            }
            known.seen = id;
        }
        Ok(known.id)
    }

    fn is(&self, model: &tributary_abi::IModels::Model) -> bool {
        model.baseId == 0
            && model.hash == self.local.weights
            && model.tokenizerHash == self.local.tokenizer
            && model.profileHash == self.local.profile
    }
}
