//! Rows of the backend by itself: decode, prefill, batches, adapters in a batch.
//!
//! Each round measures everything once, this project and llama.cpp in turn, and a row is made of medians over the rounds: the bound and the
//! peer saw the same machine as the figure.

use crate::{
    peer::{File, Peer},
    report::{Row, median},
    rig::{Rig, Streams},
};
use eyre::Result;
use std::collections::BTreeMap;

const STREAMS: usize = 16;

/// Figures by name, one value a round.
type Figures = BTreeMap<&'static str, Vec<f64>>;

/// Runs the rounds; the rows.
///
/// `bare` never has an adapter in memory.
pub(crate) fn rows(
    rig: &mut Rig,
    bare: &mut Rig,
    mut peer: Option<&mut Peer>,
    rounds: usize,
) -> Result<Vec<Row>> {
    // Pages of the cache are had from the system when they are first written.
    let base: Streams = vec![Vec::new(); STREAMS];
    for rig in [&mut *rig, &mut *bare] {
        rig.decode(&base)?;
    }
    // Two copies of the weights are not equally fast: where they lie in memory matters. What they differ by before there are adapters is no
    // cost of adapters.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..4 * rounds {
        first.push(rig.decode(&base)?);
        second.push(bare.decode(&base)?);
    }
    let unlike = median(&first) / median(&second);
    let sets = Sets::new(rig)?;
    let mut figures = Figures::new();
    for round in 0..rounds {
        eprintln!("kernels, round {} of {rounds}", round + 1);
        ours(rig, bare, &sets, &mut figures)?;
        if let Some(peer) = peer.as_deref_mut() {
            theirs(peer, &mut figures)?;
        }
    }
    let read: Vec<f64> = figures["read"].clone();
    let bandwidth = rig.weight_bytes() / median(&read);
    let found = Found { figures, weights: rig.weight_bytes(), bandwidth, unlike };
    Ok(vec![found.decode(), found.prefill(), found.streams(), found.adapters(&sets), found.beside(&sets)])
}

/// Streams with adapters.
struct Sets {
    none: Streams,
    one: Streams,
    sixteen: Streams,
    half_r8: Streams,
    half_r16: Streams,
}

impl Sets {
    fn new(rig: &Rig) -> Result<Self> {
        let half = |rank| {
            let mut streams = rig.adapted(STREAMS / 2, rank)?;
            streams.resize(STREAMS, Vec::new());
            Ok::<_, eyre::Report>(streams)
        };
        Ok(Self {
            none: vec![Vec::new(); STREAMS],
            one: vec![Vec::new()],
            sixteen: rig.adapted(STREAMS, 16)?,
            half_r8: half(8)?,
            half_r16: half(16)?,
        })
    }
}

fn bytes(streams: &Streams) -> f64 {
    streams.iter().flatten().map(|part| part.prepared.bytes() as f64).sum()
}

fn ours(rig: &mut Rig, bare: &mut Rig, sets: &Sets, figures: &mut Figures) -> Result<()> {
    let mut put = |name, value| figures.entry(name).or_default().push(value);
    // A read pass before and after each figure that is held against one.
    for turn in 0..4 {
        put("read", rig.read_pass()?);
        put("decode", rig.decode(&sets.one)?);
        put("read", rig.read_pass()?);
        if turn % 2 == 0 {
            put("base", rig.decode(&sets.none)?);
            put("bare", bare.decode(&sets.none)?);
        } else {
            put("bare", bare.decode(&sets.none)?);
            put("base", rig.decode(&sets.none)?);
        }
        put("adapted", rig.decode(&sets.sixteen)?);
        put("half r8", rig.decode(&sets.half_r8)?);
        put("half r16", rig.decode(&sets.half_r16)?);
        put("prefill", rig.prefill(512)?);
        put("matmul 1", rig.matmul_pass(1, 1)?);
        put("matmul 16", rig.matmul_pass(STREAMS, STREAMS)?);
        put("matmul 512", rig.matmul_pass(512, 1)?);
    }
    Ok(())
}

fn theirs(peer: &mut Peer, figures: &mut Figures) -> Result<()> {
    for (name, case, file) in [
        ("decode same", "decode", File::Same),
        ("decode best", "decode", File::Best),
        ("prefill same", "prefill", File::Same),
        ("prefill best", "prefill", File::Best),
        ("streams same", "streams", File::Same),
        ("streams best", "streams", File::Best),
        ("adapters same", "adapters", File::Same),
    ] {
        figures.entry(name).or_default().push(peer.measure(case, file)?);
    }
    Ok(())
}

/// Medians of what was measured.
struct Found {
    figures: Figures,
    weights: f64,
    /// Bytes a second of the read pass.
    bandwidth: f64,
    /// A step of the rig to one of the bare rig before there were adapters.
    unlike: f64,
}

impl Found {
    fn of(&self, name: &str) -> f64 {
        self.figures.get(name).map_or(f64::NAN, |values| median(values))
    }

    fn ms(&self, name: &str) -> f64 {
        self.of(name) * 1e3
    }

    /// Adds the peer's figures and the ratios to them.
    fn against(&self, mut row: Row, rate: f64, case: &str, same: f64, best: Option<f64>) -> Row {
        let theirs = self.of(&format!("{case} same"));
        if theirs.is_nan() {
            return row;
        }
        row.peer = format!("same {theirs:.0}");
        row = row.least("× same", rate / theirs, same);
        if let Some(wanted) = best {
            let theirs = self.of(&format!("{case} best"));
            row.peer += &format!(", Q4_0 {theirs:.0}");
            row = row.least("× best", rate / theirs, wanted);
        }
        row
    }

    fn decode(&self) -> Row {
        let (rate, bound) = (1.0 / self.of("decode"), 1.0 / self.of("read"));
        let mut row = Row::new("1 stream", format!("{rate:.0} tok/s"));
        row.bound = format!(
            "{bound:.0} tok/s: {:.1} MB a token at {:.1} GB/s",
            self.weights / 1e6,
            self.bandwidth / 1e9
        );
        row.rest = format!(
            "{:.2} ms a token: read pass {:.2}, all matrices alone {:.2}",
            self.ms("decode"),
            self.ms("read"),
            self.ms("matmul 1")
        );
        self.against(row, rate, "decode", 2.5, Some(1.5)).least("of the read pass", rate / bound, 0.75)
    }

    fn prefill(&self) -> Row {
        let rate = 512.0 / self.of("prefill");
        let mut row = Row::new("prefill of 512", format!("{rate:.0} tok/s"));
        row.bound = format!("{:.0} tok/s: the matrices alone", 512.0 / self.of("matmul 512"));
        row.rest = format!(
            "{:.0} ms: matrices {:.0}; the rest is attention, norms, quantising",
            self.ms("prefill"),
            self.ms("matmul 512")
        );
        self.against(row, rate, "prefill", 4.5, Some(1.8))
    }

    fn streams(&self) -> Row {
        let rate = STREAMS as f64 / self.of("base");
        let mut row = Row::new("16 streams, base", format!("{rate:.0} tok/s"));
        row.bound = format!("{:.0} tok/s: the matrices alone", STREAMS as f64 / self.of("matmul 16"));
        row.rest = format!(
            "{:.2} ms a step: matrices {:.2}, of which read pass {:.2}",
            self.ms("base"),
            self.ms("matmul 16"),
            self.ms("read")
        );
        self.against(row, rate, "streams", 4.0, Some(2.0))
    }

    fn adapters(&self, sets: &Sets) -> Row {
        let (step, base) = (self.of("adapted"), self.of("base"));
        let rate = STREAMS as f64 / step;
        let mut row = Row::new("16 streams, 16 adapters r16", format!("{rate:.0} tok/s"));
        let load = bytes(&sets.sixteen) / self.bandwidth;
        row.bound = format!(
            "{:.2} ms: base step {:.2} + {:.1} MB of adapters {:.2}",
            (base + load) * 1e3,
            base * 1e3,
            bytes(&sets.sixteen) / 1e6,
            load * 1e3
        );
        row.rest = format!("{:.2} ms a step, {:.2} more than base", step * 1e3, (step - base) * 1e3);
        self.against(row, rate, "adapters", 8.0, None).most("step ms", step * 1e3, (base + 1.2 * load) * 1e3)
    }

    fn beside(&self, sets: &Sets) -> Row {
        let part = |name: &str| self.of("base") / self.of(name);
        let idle = self.of("base") / self.of("bare") / self.unlike - 1.0;
        let mut row =
            Row::new("8 base beside 8 adapters r8", format!("{:.1} % of 16 base", part("half r8") * 100.0));
        let bound =
            |streams: &Streams| 100.0 * self.of("base") / (self.of("base") + bytes(streams) / self.bandwidth);
        row.bound = format!("{:.1} % by bytes (r16: {:.1} %)", bound(&sets.half_r8), bound(&sets.half_r16));
        row.rest = format!(
            "step {:.2} ms, base {:.2}; with r16 {:.2} = {:.1} %",
            self.ms("half r8"),
            self.ms("base"),
            self.ms("half r16"),
            part("half r16") * 100.0
        );
        row.least("base rows", part("half r8"), 0.88).most(
            "adapters in memory, none used: lost %",
            idle * 100.0,
            1.0,
        )
    }
}
