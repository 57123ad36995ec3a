//! What a step needs, worked out without any device: sizes, addresses, who computes what.

mod arena;
mod bucket;
mod metadata;
mod slots;
mod work;

pub use arena::{Arena, Region};
pub use bucket::{Bucket, HEADER_WORDS};
pub use metadata::{Metadata, Sections, encode};
pub use slots::{Placement, Slots};
pub use work::{Group, Limits, RowPart, Token, Work};
