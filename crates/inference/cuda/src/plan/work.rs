//! A step, flattened: its tokens, who attends how, which adapters change which tokens.

use super::bucket::Bucket;
use crate::launch::params::Choice;
use tributary_engine::Choosing;

/// Tokens of a task of tiled attention.
const TILE_TOKENS: usize = 8;
/// Rows of at most so many tokens attend with split positions.
const SPLIT_ROW: usize = 4;
/// Positions of a segment.
const SEGMENT: usize = 64;
/// Tokens of a page.
const PAGE: u32 = 16;

/// What bounds a step.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Query heads.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
    /// Bytes that split attention may use.
    pub split_bytes: usize,
}

/// A row that can run.
#[derive(Clone, Copy, Debug)]
pub struct RowPart<'a> {
    /// Its index in the step.
    pub row: u32,
    /// Absolute position of its first token.
    pub position: u32,
    /// Its tokens.
    pub tokens: &'a [u32],
    /// Pages up to the last token's.
    pub pages: &'a [u32],
    /// Addresses of its adapters on the device, in request order, and their largest ranks.
    pub adapters: &'a [(u64, usize)],
    /// Whether its adapter, then the only one, scales what it changes: DoRA.
    pub scales: bool,
    /// Wanted positions: so many of the last tokens, and where in the output the first belongs.
    pub wanted: (usize, usize),
    /// How tokens behind those are chosen, where that is to be done here.
    pub choose: Option<Choosing>,
}

/// A token of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Absolute position.
    pub position: u32,
    /// Page · 16 + place in the page: where its key and value go.
    pub slot: u32,
    /// The row it belongs to.
    pub row: u32,
    /// Where the row's page table begins.
    pub table: u32,
}

/// Tokens that one adapter changes at one place of their compositions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The adapter's address.
    pub adapter: u64,
    /// First entry.
    pub first: u32,
    /// Entries.
    pub count: u32,
}

/// What a step runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Rows of the step, those included that cannot run.
    pub rows: usize,
    /// Tokens, row after row.
    pub tokens: Vec<Token>,
    /// Page tables, one after the other.
    pub pages: Vec<u32>,
    /// Tokens whose logits are wanted.
    pub wanted: Vec<u32>,
    /// Where in the output each of those belongs.
    pub outputs: Vec<usize>,
    /// How tokens are chosen, in the order of the wanted positions they belong to.
    pub choices: Vec<Choice>,
    /// By place in the composition: first parts before second ones.
    pub groups: Vec<Group>,
    /// Token indices, group after group.
    pub entries: Vec<u32>,
    /// Where the groups of each place begin, and the end; empty without adapters.
    pub places: Vec<u32>,
    /// By token the address of an adapter that scales, or 0; empty if none does.
    pub scaled: Vec<u64>,
    /// The largest rank.
    pub rank: usize,
    /// Tokens attended with split positions.
    pub splits: Vec<u32>,
    /// Segments that the furthest of those sees.
    pub split_segments: usize,
    /// First token and count of each task of tiled attention.
    pub tiles: Vec<(u32, u32)>,
}

impl Work {
    /// Flattens a step of `rows` rows, of which `parts` can run.
    pub fn new(rows: usize, parts: &[RowPart<'_>], limits: &Limits) -> Self {
        let mut work = Self { rows, ..Self::default() };
        for part in parts {
            work.push(part);
        }
        work.group(parts);
        work.scale(parts);
        work.attend(parts, limits);
        work
    }

    fn push(&mut self, part: &RowPart<'_>) {
        let table = self.pages.len() as u32;
        self.pages.extend(part.pages);
        for (id, position) in part.tokens.iter().zip(part.position..) {
            let page = part.pages.get((position / PAGE) as usize).copied().unwrap_or_default();
            let slot = page * PAGE + position % PAGE;
            self.tokens.push(Token { id: *id, position, slot, row: part.row, table });
        }
        let end = self.tokens.len() as u32;
        let (count, output) = part.wanted;
        if let Some(how) = &part.choose {
            let first = self.wanted.len() as u32;
            self.choices.extend((0..count as u32).map(|index| Choice::of(how, first + index, index)));
        }
        self.wanted.extend(end - count as u32..end);
        self.outputs.extend(output..output + count);
    }

    /// Tokens by adapter, place after place; a group has no more tokens than a block of the kernels takes.
    fn group(&mut self, parts: &[RowPart<'_>]) {
        let most = Bucket::of(self).group_tokens() as usize;
        let places = parts.iter().map(|part| part.adapters.len()).max().unwrap_or(0);
        if places == 0 {
            return;
        }
        self.places.push(0);
        for place in 0..places {
            let mut lists: Vec<(u64, Vec<u32>)> = Vec::new();
            let mut first = 0u32;
            for part in parts {
                let tokens = first..first + part.tokens.len() as u32;
                first = tokens.end;
                let Some((adapter, rank)) = part.adapters.get(place) else { continue };
                self.rank = self.rank.max(*rank);
                match lists.iter_mut().find(|(other, _)| other == adapter) {
                    Some((_, list)) => list.extend(tokens),
                    None => lists.push((*adapter, tokens.collect())),
                }
            }
            for (adapter, list) in lists {
                for some in list.chunks(most) {
                    let first = self.entries.len() as u32;
                    self.groups.push(Group { adapter, first, count: some.len() as u32 });
                    self.entries.extend(some);
                }
            }
            self.places.push(self.groups.len() as u32);
        }
    }

    fn scale(&mut self, parts: &[RowPart<'_>]) {
        if parts.iter().any(|part| part.scales) {
            for part in parts {
                let adapter = part.adapters.first().filter(|_| part.scales).map_or(0, |adapter| adapter.0);
                self.scaled.extend(part.tokens.iter().map(|_| adapter));
            }
        }
    }

    /// Short rows split their positions as long as the workspace has room; all others are tiled.
    fn attend(&mut self, parts: &[RowPart<'_>], limits: &Limits) {
        let segments = |part: &RowPart<'_>| (part.position as usize + part.tokens.len()).div_ceil(SEGMENT);
        let mut first = 0usize;
        for part in parts {
            let count = part.tokens.len();
            let wide = self.split_segments.max(segments(part)).next_power_of_two();
            let splits = (self.splits.len() + count).next_power_of_two();
            if count <= SPLIT_ROW && split_bytes(splits, wide, limits) <= limits.split_bytes {
                self.splits.extend(first as u32..(first + count) as u32);
                self.split_segments = self.split_segments.max(segments(part));
            } else {
                for start in (0..count).step_by(TILE_TOKENS) {
                    let some = TILE_TOKENS.min(count - start);
                    self.tiles.push(((first + start) as u32, some as u32));
                }
            }
            first += count;
        }
    }
}

/// Workspace of split attention: for each token, head and segment, scores, the largest, a total and sums.
pub(crate) fn split_bytes(splits: usize, segments: usize, limits: &Limits) -> usize {
    splits * limits.heads * segments * (SEGMENT + limits.width + 2) * size_of::<f32>()
}
