//! Whatever a step looks like: every token is done exactly once, sections and regions do not overlap, grids suffice and are legal.

use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use tributary_cuda::{
    Tier,
    launch::{
        Buffers, Kernel, Launch, LayerMap, ModelMap, launches,
        params::{Choice, Matrix},
    },
    pack::Layout,
    plan::{Arena, Bucket, Limits, RowPart, Sections, Work, encode},
};
use tributary_engine::{Choosing, PPM};

#[derive(Clone, Debug)]
struct OneRow {
    position: u32,
    tokens: Vec<u32>,
    adapters: Vec<(u64, usize)>,
    scales: bool,
    wanted: usize,
    choose: Option<Choosing>,
}

fn choosing() -> impl Strategy<Value = Option<Choosing>> {
    prop::option::of((any::<u64>(), 0u32..500).prop_map(|(seed, position)| Choosing {
        temperature: 0.5,
        top_k: 7,
        top_p: PPM - 1,
        min_p: 3,
        seed,
        choice: 2,
        position,
    }))
}

/// Of each row that says how, every wanted position is chosen, with the draw of its place in the answer.
fn chosen(work: &Work, rows: &[OneRow]) {
    let mut choices = work.choices.iter();
    for (index, token) in work.wanted.iter().enumerate() {
        let row = work.tokens[*token as usize].row as usize;
        let Some(how) = rows[row].choose else { continue };
        let place =
            work.wanted[..index].iter().filter(|before| work.tokens[**before as usize].row as usize == row);
        let choice = choices.next().unwrap();
        let draw = u64::from(choice.draw_high) << 32 | u64::from(choice.draw_low);
        assert_eq!(choice.wanted as usize, index);
        assert_eq!(draw, tributary_engine::draw(how.seed, 2, how.position + place.count() as u32));
        assert_eq!((choice.temperature, choice.top_k, choice.top_p, choice.min_p), (0.5, 7, PPM - 1, 3));
    }
    assert_eq!(choices.next(), None);
}

fn row() -> impl Strategy<Value = OneRow> {
    let tokens = prop_oneof![3 => 1usize..4, 2 => 1usize..40, 1 => 40usize..200];
    let adapter = (1u64..6).prop_map(|id| (id << 33, [1, 8, 16, 17, 64][id as usize - 1]));
    (0u32..3000, tokens, prop::collection::vec(adapter, 0..4), any::<[bool; 2]>(), choosing()).prop_map(
        |(position, count, adapters, [scales, all], choose)| OneRow {
            position,
            tokens: (0..count as u32).collect(),
            scales: scales && adapters.len() == 1,
            adapters,
            wanted: if all { count } else { usize::from(count % 2 == 1) },
            choose,
        },
    )
}

fn work(rows: &[OneRow], limits: &Limits) -> Work {
    let pages: Vec<Vec<u32>> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let count = (row.position as usize + row.tokens.len()).div_ceil(16) as u32;
            (0..count).map(|page| page * 64 + index as u32).collect()
        })
        .collect();
    let mut output = 0;
    let parts: Vec<RowPart<'_>> = rows
        .iter()
        .zip(&pages)
        .enumerate()
        .map(|(index, (row, pages))| {
            let wanted = (row.wanted, output);
            output += row.wanted;
            RowPart {
                row: index as u32,
                position: row.position,
                tokens: &row.tokens,
                pages,
                adapters: &row.adapters,
                scales: row.scales,
                wanted,
                choose: row.choose,
            }
        })
        .collect();
    Work::new(rows.len(), &parts, limits)
}

/// Every token is attended once, by a task that stays within its row.
fn attended(work: &Work) {
    let mut seen = BTreeSet::new();
    for token in &work.splits {
        assert!(seen.insert(*token));
        let segments = work.tokens[*token as usize].position as usize / 64 + 1;
        assert!(segments <= work.split_segments);
    }
    for (first, count) in &work.tiles {
        assert!((1..=8).contains(count));
        let start = work.tokens[*first as usize];
        for (offset, token) in (*first..first + count).enumerate() {
            assert!(seen.insert(token));
            let token = work.tokens[token as usize];
            assert_eq!((token.row, token.table), (start.row, start.table));
            assert_eq!(token.position, start.position + offset as u32);
        }
    }
    assert_eq!(seen.len(), work.tokens.len());
}

/// At each place, every token with an adapter there is in exactly one group, which is that adapter's.
fn adapted(work: &Work, rows: &[OneRow], bucket: &Bucket) {
    let places = rows.iter().map(|row| row.adapters.len()).max().unwrap_or(0);
    assert_eq!(work.places.len(), if places == 0 { 0 } else { places + 1 });
    assert_eq!(work.places.last().copied().unwrap_or(0) as usize, work.groups.len());
    let mut next = 0;
    for place in 0..places {
        let mut found: HashMap<u32, u64> = HashMap::new();
        for group in &work.groups[work.places[place] as usize..work.places[place + 1] as usize] {
            assert_eq!(group.first, next, "entries are shared or left out");
            next += group.count;
            assert!((1..=bucket.group_tokens()).contains(&group.count));
            for token in &work.entries[group.first as usize..(group.first + group.count) as usize] {
                assert_eq!(found.insert(*token, group.adapter), None);
            }
        }
        for (index, token) in work.tokens.iter().enumerate() {
            let wanted = rows[token.row as usize].adapters.get(place).map(|adapter| adapter.0);
            assert_eq!(found.get(&(index as u32)).copied(), wanted);
        }
    }
    assert_eq!(next as usize, work.entries.len());
}

/// Tokens of rows that scale say by what, all others nothing; without such rows there is nothing to read.
fn scaled(work: &Work, rows: &[OneRow]) {
    let of = |row: &OneRow| if row.scales { row.adapters[0].0 } else { 0 };
    let all: Vec<u64> = work.tokens.iter().map(|token| of(&rows[token.row as usize])).collect();
    let some = rows.iter().any(|row| row.scales);
    assert_eq!(work.scaled, if some { all } else { Vec::new() });
}

fn bounded(work: &Work, bucket: &Bucket) {
    let pairs = [
        (work.tokens.len(), bucket.tokens),
        (work.wanted.len(), bucket.wanted),
        (work.choices.len(), bucket.choices),
        (work.rows, bucket.rows),
        (work.groups.len(), bucket.groups),
        (work.splits.len(), bucket.splits),
        (work.split_segments, bucket.segments),
        (work.tiles.len(), bucket.tiles),
        (work.pages.len(), bucket.pages),
        (work.scaled.len(), bucket.scaled),
        (work.entries.len(), bucket.entries()),
        (work.rank.div_ceil(16), bucket.rank_tiles),
    ];
    for (count, bound) in pairs {
        assert!(count <= bound as usize && (bound as usize) < 2 * count.max(1) || bound == bucket.entries());
    }
}

/// What is written down is read back, each section within its own place.
fn written(work: &Work, bucket: &Bucket) {
    let sections = Sections::new(bucket);
    let metadata = encode(work, bucket, vec![7; 3]);
    assert!(metadata.bytes.len() <= sections.end as usize * 4);
    let word = |at: u32| {
        let at = at as usize * 4;
        u32::from_le_bytes(metadata.bytes[at..at + 4].try_into().unwrap())
    };
    let read = |at: u32, count: usize| (0..count as u32).map(|index| word(at + index)).collect::<Vec<_>>();
    let counts = [
        work.tokens.len(),
        work.wanted.len(),
        work.groups.len(),
        work.splits.len(),
        work.tiles.len(),
        work.choices.len(),
    ];
    assert_eq!(read(0, 6), counts.map(|count| count as u32));
    let by_token =
        |field: fn(&tributary_cuda::plan::Token) -> u32| work.tokens.iter().map(field).collect::<Vec<_>>();
    let tokens = work.tokens.len();
    assert_eq!(read(sections.failed, work.rows), vec![0; work.rows]);
    assert_eq!(read(sections.ids, tokens), by_token(|token| token.id));
    assert_eq!(read(sections.positions, tokens), by_token(|token| token.position));
    assert_eq!(read(sections.slots, tokens), by_token(|token| token.slot));
    assert_eq!(read(sections.rows, tokens), by_token(|token| token.row));
    assert_eq!(read(sections.tables, tokens), by_token(|token| token.table));
    assert_eq!(read(sections.wanted, work.wanted.len()), work.wanted);
    assert_eq!(read(sections.chosen, work.choices.len()), vec![0; work.choices.len()]);
    let choices: Vec<u8> = work.choices.iter().flat_map(Choice::bytes).collect();
    assert_eq!(metadata.bytes[sections.choices as usize * 4..][..choices.len()], choices);
    let groups: Vec<u32> = work
        .groups
        .iter()
        .flat_map(|group| [group.adapter as u32, (group.adapter >> 32) as u32, group.first, group.count])
        .collect();
    assert_eq!(read(sections.groups, groups.len()), groups);
    assert_eq!(read(sections.entries, work.entries.len()), work.entries);
    assert_eq!(read(sections.places, work.places.len()), work.places);
    assert_eq!(read(sections.splits, work.splits.len()), work.splits);
    let tiles: Vec<u32> = work.tiles.iter().flat_map(|(first, count)| [*first, *count]).collect();
    assert_eq!(read(sections.tiles, tiles.len()), tiles);
    let halves: Vec<u32> = work.scaled.iter().flat_map(|at| [*at as u32, (*at >> 32) as u32]).collect();
    assert_eq!(read(sections.scaled, halves.len()), halves);
    assert_eq!(read(sections.pages, work.pages.len()), work.pages);
    assert!([sections.groups, sections.tiles, sections.scaled].iter().all(|at| at % 4 == 0));
}

/// All matrices have 2,304 inputs, which no kernel minds here.
fn model(tier: Tier) -> ModelMap {
    let layout = match tier {
        Tier::Deterministic => Layout::FourMin,
        Tier::Fast => Layout::Brain,
        Tier::FastFp8 => Layout::Eight,
    };
    let of = |layout: Layout, rows, column| {
        let blocks = 2304 / layout.block() as u32;
        Matrix { layout: layout as u32, rows, blocks, column, ..Matrix::default() }
    };
    let matrix = |rows, column| of(layout, rows, column);
    let layer = LayerMap {
        qkv: [matrix(576, 0), matrix(192, 576), matrix(192, 768)],
        o: [matrix(576, 0)],
        gate_up: [matrix(1536, 0), matrix(1536, 1536)],
        down: [matrix(576, 0)],
        ..LayerMap::default()
    };
    ModelMap {
        layers: vec![layer; 3],
        head: of(if tier.is_fast() { Layout::Brain } else { layout }, 49_152, 0),
        hidden: 576,
        intermediate: 1536,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        tier,
        ..ModelMap::default()
    }
}

/// Grids that the hardware takes, and that reach every token, wanted position, task and group.
fn launched(work: &Work, bucket: &Bucket, tier: Tier) {
    let program = launches(&model(tier), &Buffers::default(), bucket);
    let tokens = work.tokens.len() as u32;
    for Launch { kernel, grid, threads, .. } in &program {
        let [x, y, z] = *grid;
        assert!(x > 0 && y > 0 && z > 0 && x < 1 << 31 && y < 1 << 16 && z < 1 << 16, "{kernel:?} {grid:?}");
        assert!(threads.is_multiple_of(32) && (32..=512).contains(threads));
        assert!(tier.sources().contains(&kernel.source()), "{kernel:?} is not compiled for {tier}");
        match kernel {
            Kernel::EmbedTokens | Kernel::Rotate | Kernel::FastEmbed | Kernel::FastRotate => {
                assert!(x >= tokens)
            }
            Kernel::Activate | Kernel::FastActivate => assert!(y >= tokens && x * 8 * 32 >= 1536),
            Kernel::Fast8Quantize => assert!(y >= tokens && x * 8 * 256 >= 2304),
            Kernel::FastAttendSplit => {
                assert!(x as usize * 4 >= work.split_segments && y == 3 && z as usize >= work.splits.len());
            }
            Kernel::FastAttendCombine => assert!(x == 9 && y as usize >= work.splits.len()),
            Kernel::FastAttendTile => assert!(x as usize * 4 >= work.tiles.len() && y == 9),
            Kernel::AttendScores | Kernel::AttendValues => {
                assert!(x as usize >= work.split_segments && y == 3 && z as usize >= work.splits.len());
            }
            Kernel::AttendCombine => assert!(x == 9 && y as usize >= work.splits.len()),
            Kernel::AttendTile => assert!(x as usize >= work.tiles.len() && y == 9),
            Kernel::ChooseTokens => assert!(x as usize >= work.choices.len()),
            Kernel::Expand | Kernel::FastExpand => assert!(y as usize >= work.groups.len() && x > 0),
            _ => {}
        }
    }
    let count =
        |kernels: [Kernel; 2]| program.iter().filter(|launch| kernels.contains(&launch.kernel)).count();
    assert_eq!(count([Kernel::RmsNorm, Kernel::FastNorm]), 6 + usize::from(!work.wanted.is_empty()));
    assert_eq!(count([Kernel::ChooseTokens; 2]), usize::from(!work.choices.is_empty()));
    let expands = if work.rank == 0 { 0 } else { 12 * bucket.places as usize };
    assert_eq!(count([Kernel::Expand, Kernel::FastExpand]), expands);
    assert_eq!(count([Kernel::AttendTile, Kernel::FastAttendTile]) > 0, !work.tiles.is_empty());
    assert_eq!(count([Kernel::AttendCombine, Kernel::FastAttendCombine]) > 0, !work.splits.is_empty());
    assert_eq!(count([Kernel::Fast8Quantize; 2]), if tier == Tier::FastFp8 { 12 } else { 0 });
    // Every tile of a layer's seven matrices, and of the head, meets every vector.
    let vectors = |kernel: Kernel| match kernel {
        Kernel::Linear1 | Kernel::FastLinear1 | Kernel::Fast8Linear1 => Some(8),
        Kernel::Linear2 | Kernel::FastLinear2 | Kernel::Fast8Linear2 => Some(16),
        Kernel::Linear4 | Kernel::FastLinear4 | Kernel::Fast8Linear4 => Some(32),
        Kernel::LinearWide | Kernel::FastLinearWide | Kernel::Fast8LinearWide => Some(64),
        _ => None,
    };
    let wide = bucket.tokens > 32;
    let first = program.iter().find(|launch| vectors(launch.kernel).is_some()).unwrap();
    assert!(first.grid[1] * vectors(first.kernel).unwrap() >= tokens);
    assert_eq!(vectors(first.kernel) == Some(64), wide);
    let tiles = (576 + 192 + 192) / 16;
    assert!(if wide { first.grid[0] * first.threads / 32 >= tiles } else { first.grid[0] >= tiles });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_step(rows in prop::collection::vec(row(), 1..12), split_bytes in prop_oneof![Just(0usize), Just(1 << 20), Just(1 << 30)]) {
        let limits = Limits { heads: 9, width: 64, split_bytes };
        let work = work(&rows, &limits);
        let bucket = Bucket::of(&work);
        prop_assert_eq!(work.tokens.len(), rows.iter().map(|row| row.tokens.len()).sum::<usize>());
        for token in &work.tokens {
            let page = work.pages[(token.table + token.position / 16) as usize];
            prop_assert_eq!(token.slot, page * 16 + token.position % 16);
            prop_assert_eq!(page % 64, token.row);
        }
        let workspace = bucket.splits as usize * 9 * bucket.segments as usize * (64 + 64 + 2) * 4;
        prop_assert!(workspace <= split_bytes);
        attended(&work);
        adapted(&work, &rows, &bucket);
        scaled(&work, &rows);
        chosen(&work, &rows);
        bounded(&work, &bucket);
        written(&work, &bucket);
        Tier::ALL.into_iter().for_each(|tier| launched(&work, &bucket, tier));
    }

    #[test]
    fn any_arena(sizes in prop::collection::vec(0usize..5000, 0..40)) {
        let mut arena = Arena::new();
        let offsets: Vec<u64> = sizes.iter().map(|bytes| arena.add("part", *bytes)).collect();
        let mut end = 0;
        for (offset, bytes) in offsets.iter().zip(&sizes) {
            // Something lies between any two, so that running past one is seen.
            prop_assert!(offset.is_multiple_of(256) && (*offset >= end + 256 || end == 0));
            end = offset + *bytes as u64;
        }
        prop_assert!(end <= arena.bytes());
        prop_assert_eq!(arena.regions().len(), sizes.len());
    }
}
