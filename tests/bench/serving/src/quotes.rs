//! Rows of answers that quote, and of prompts that begin alike.

use crate::{
    report::{Row, median, quantile},
    rig::Rig,
    served::{Answer, Ask, Parts, Served},
};
use alloy_primitives::B256;
use eyre::{Result, eyre};
use serde_json::json;
use std::{path::Path, sync::Arc};
use tributary_adapters::{Artifact, Source};
use tributary_engine::{AdapterStore, DraftSource};
use tributary_index::{Document, PinSpec, Pinned, Segment, build};
use tributary_record::tokens_root;
use tributary_train::corpus::{Selection, dictd};
use tributary_weights::ChatInput;

/// A datanet's documents, as a node keeps them.
#[derive(Debug)]
struct Datanet(Pinned);

impl DraftSource for Datanet {
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize {
        self.0.follow(context, most, draft)
    }
}

impl Datanet {
    fn new(folder: &Path, texts: Vec<Vec<u32>>) -> Result<Self> {
        let documents: Option<Vec<_>> = texts
            .into_iter()
            .enumerate()
            .map(|(n, tokens)| {
                let document = Document {
                    contribution: n as u64,
                    commit_block: n as u64,
                    tokens: tokens.len() as u32,
                    tokens_root: tokens_root(&tokens)?,
                };
                Some((document, tokens))
            })
            .collect();
        let documents = documents.ok_or_else(|| eyre!("an empty document"))?;
        let path = folder.join("datanet.segment");
        std::fs::write(&path, build(documents)?)?;
        let spec = PinSpec { datanet: 1, epoch: 1, min_match: 8, ..PinSpec::default() };
        Ok(Self(Pinned::new(&spec, vec![Arc::new(Segment::open(&path)?)])))
    }
}

fn question(model: &Parts, content: &str) -> Result<Vec<u32>> {
    let chat = model.chat.as_ref().ok_or_else(|| eyre!("the model has no chat template"))?;
    let messages = [json!({"role": "user", "content": content})];
    let text = chat.render(&ChatInput { messages: &messages, tools: None, add_generation_prompt: true })?;
    Ok(model.tokenizer.encode_prompt(&text)?)
}

/// Answers that quote the prompt, and answers that quote what an adapter was taught, with guesses and without.
pub(crate) fn speculation(
    guessing: &Served,
    plain: &Served,
    folder: &Path,
    adapter: &Path,
    rounds: usize,
) -> Result<Vec<Row>> {
    let documents =
        Selection::read(&adapter.join("headwords.json"))?.documents(Path::new(dictd::DEBIAN_FOLDER))?;
    let model = &guessing.model;
    let texts: Vec<Vec<u32>> = documents
        .iter()
        .map(|document| Ok(model.tokenizer.encode(&document.text)?))
        .collect::<Result<_>>()?;
    let datanet: Arc<dyn DraftSource> = Arc::new(Datanet::new(folder, texts)?);
    let source = Source {
        hash: Artifact::read(adapter, &Default::default())?.hash(),
        uri: format!("file://{}", adapter.canonicalize()?.display()),
    };
    let ends = model.tokenizer.eos().to_vec();
    let ask = |prompt, adapter, drafts| Ask { prompt, adapter, answer: 96, ends: ends.clone(), drafts };
    let asked = documents.iter().step_by(6).take(20);
    let recited: Vec<Ask> = asked
        .clone()
        .map(|document| {
            let prompt =
                question(model, &format!("What does the dictionary say about {}?", document.headword))?;
            Ok(ask(prompt, Some(source.clone()), Some(Arc::clone(&datanet))))
        })
        .collect::<Result<_>>()?;
    let copied: Vec<Ask> = asked
        .map(|document| {
            let text = document.text.replace('\n', " ");
            let prompt = question(
                model,
                &format!("Repeat the following text exactly, three times.\n\n{text}\n{text}\n{text}"),
            )?;
            Ok(ask(prompt, None, None))
        })
        .collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for (name, asks) in [("the datanet index", recited), ("the prompt", copied)] {
        rows.push(compare(name, guessing, plain, folder, &asks, rounds)?);
    }
    Ok(rows)
}

fn compare(
    name: &str,
    guessing: &Served,
    plain: &Served,
    folder: &Path,
    asks: &[Ask],
    rounds: usize,
) -> Result<Row> {
    let stores = [guessing.store(folder, 1 << 30)?, plain.store(folder, 1 << 30)?];
    let (mut times, mut same, mut share) = ([const { Vec::new() }; 2], true, 0.0);
    for round in 0..rounds {
        eprintln!("quotes of {name}, round {} of {rounds}", round + 1);
        let run = |served: &Served, store: &AdapterStore| served.closed(store, 1, asks.to_vec());
        let (guessed, expected) = (run(guessing, &stores[0])?.0, run(plain, &stores[1])?.0);
        for (times, answers) in times.iter_mut().zip([&guessed, &expected]) {
            times.push(answers.iter().map(decoding).sum::<f64>());
        }
        same &= guessed.iter().zip(&expected).all(|(a, b)| bits(a) == bits(b));
        share = guessed.iter().map(|answer| answer.outcome.tokens.len()).sum::<usize>() as f64;
    }
    let [guessed, expected] = times.map(|times| share / median(&times));
    let mut row = Row::new(
        &format!("1 stream, guesses from {name}"),
        format!("{guessed:.0} tok/s; without {expected:.0}"),
    );
    row.bound = "a guess costs its part of a step".into();
    row.rest = format!("{} answers of {:.0} tokens each", asks.len(), share / asks.len() as f64);
    Ok(row.least("× without", guessed / expected, 1.8).holds("bits unchanged", same))
}

/// Seconds from the first token to the end.
fn decoding(answer: &Answer) -> f64 {
    let timing = answer.outcome.timing;
    (timing.total - timing.first_token.unwrap_or_default()).as_secs_f64()
}

fn bits(answer: &Answer) -> (B256, &[u32]) {
    (answer.outcome.logits_root, &answer.outcome.tokens)
}

const SHARED: usize = 400;
const OWN: usize = 32;
const REQUESTS: usize = 32;

/// 32 requests that begin with the same 400 tokens, all at once, after one that computed them.
pub(crate) fn prefix(served: &Served, rig: &mut Rig, folder: &Path, rounds: usize) -> Result<Vec<Row>> {
    let store = served.store(folder, 1 << 20)?;
    let (mut first, mut floor, mut cached, mut cold) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds as u32 {
        eprintln!("prefix, round {} of {rounds}", round + 1);
        let shared: Vec<u32> = (0..SHARED as u32).map(|n| 100 + (n * 7 + round * 1013) % 40_000).collect();
        let ask = |own: u32| {
            let own = (0..OWN as u32).map(|n| 200 + (own * 131 + n * 3) % 40_000);
            Ask { prompt: shared.iter().copied().chain(own).collect(), answer: 1, ..Ask::default() }
        };
        // All at once and nothing cached: the prefix is still computed only once.
        let all: Vec<Ask> = (0..REQUESTS as u32).map(ask).collect();
        let (answers, _) = served.closed(&store, REQUESTS, all)?;
        let spared: usize = answers.iter().map(|answer| answer.outcome.cached_tokens as usize).sum();
        cold.push(spared as f64 / SHARED as f64);
        let more: Vec<Ask> = (REQUESTS as u32..2 * REQUESTS as u32).map(ask).collect();
        let (answers, _) = served.closed(&store, REQUESTS, more)?;
        first.push(quantile(&answers.iter().map(|a| a.first.as_secs_f64() * 1e3).collect::<Vec<_>>(), 1.0));
        cached.push(answers.iter().map(|a| f64::from(a.outcome.cached_tokens)).fold(f64::MAX, f64::min));
        // The same tokens at the same positions, in as few steps as they fit into, and nothing else.
        let steps = REQUESTS * OWN / 512;
        let mut time = 0.0;
        for _ in 0..steps {
            time += rig.extend(REQUESTS / steps, SHARED, OWN)? * 1e3;
        }
        floor.push(time);
    }
    let (first, floor, cached) = (median(&first), median(&floor), median(&cached));
    let mut row =
        Row::new("32 requests that share 400 tokens", format!("last first token after {first:.0} ms"));
    row.bound = format!("{floor:.0} ms: the {} tokens of their own", REQUESTS * OWN);
    row.rest =
        format!("when nothing was cached, {:.1} of 31 computations of the prefix were spared", median(&cold));
    let row =
        row.holds("prefill done once", cached >= SHARED as f64 && median(&cold) >= (REQUESTS - 1) as f64);
    Ok(vec![row.most("× floor", first / floor, 1.3)])
}
