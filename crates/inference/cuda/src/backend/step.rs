//! One step: flatten, write down, run the bucket's program, take the results.

use super::CudaBackend;
use crate::{
    Device, DeviceError, ProgramId,
    launch::{Buffers, ModelMap, launches},
    plan::{self, Bucket, RowPart, Work, encode},
};
use std::collections::HashMap;
use tributary_cpu::BLOCK;
use tributary_engine::{Row, RowError, StepOutput};

/// Programs kept; a step of another size replaces the one that was not used for longest.
const MOST_PROGRAMS: usize = 64;
/// Positions of a page.
const PAGE: usize = super::PAGE;

/// Programs by bucket.
#[derive(Debug, Default)]
pub(super) struct Programs {
    known: HashMap<Bucket, (ProgramId, u64)>,
    clock: u64,
}

impl Programs {
    pub(super) fn clear(&mut self, device: &mut dyn Device) {
        self.known.drain().for_each(|(_, (program, _))| device.forget(program));
    }

    fn get(
        &mut self,
        device: &mut dyn Device,
        model: &ModelMap,
        buffers: &Buffers,
        bucket: &Bucket,
    ) -> Result<ProgramId, DeviceError> {
        self.clock += 1;
        if let Some((program, used)) = self.known.get_mut(bucket) {
            *used = self.clock;
            return Ok(*program);
        }
        if self.known.len() >= MOST_PROGRAMS {
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| *used).map(|(bucket, _)| *bucket);
            if let Some((program, _)) = oldest.and_then(|oldest| self.known.remove(&oldest)) {
                device.forget(program);
            }
        }
        let program = device.program(&launches(model, buffers, bucket))?;
        self.known.insert(*bucket, (program, self.clock));
        Ok(program)
    }
}

/// A row's adapters, and whether they scale, which one alone may.
type Adapters = (Vec<(u64, usize)>, bool);

/// A row's adapters, or why it cannot run.
fn runnable(backend: &CudaBackend, row: &Row<'_>) -> Result<Adapters, RowError> {
    if let Some(bad) = row.tokens.iter().find(|token| **token >= backend.limits.vocab) {
        return Err(RowError::BadToken(*bad));
    }
    let mut scales = false;
    let adapter = |part| {
        let prepared = backend.adapters.prepared(part).ok_or(RowError::ForeignAdapter)?;
        scales |= prepared.dora;
        Ok((backend.adapters.address(prepared), prepared.rank))
    };
    let adapters: Vec<_> = row.lora.iter().map(adapter).collect::<Result<_, _>>()?;
    if scales && adapters.len() > 1 {
        return Err(RowError::Composition);
    }
    Ok((adapters, scales))
}

impl CudaBackend {
    /// Runs rows that keep the contract.
    pub(super) fn run(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), DeviceError> {
        let work = self.flatten(rows, out);
        if work.tokens.is_empty() {
            return Ok(());
        }
        let bucket = Bucket::of(&work);
        let device = self.device.as_mut();
        if self.workspace.ensure(device, &self.model, &bucket)? {
            self.programs.clear(device);
        }
        let buffers = self.workspace.buffers();
        let program = self.programs.get(device, &self.model, &buffers, &bucket)?;
        let metadata = encode(&work, &bucket, std::mem::take(&mut self.metadata));
        device.write(buffers.metadata, &metadata.bytes)?;
        let places = Places { failed: metadata.failed, chosen: metadata.chosen };
        self.metadata = metadata.bytes;
        device.run(program)?;
        self.results(&work, buffers.metadata, places, rows.len(), out)
    }

    fn flatten(&self, rows: &[Row<'_>], out: &mut StepOutput) -> Work {
        let adapters: Vec<_> = rows.iter().map(|row| runnable(self, row)).collect();
        let mut parts = Vec::with_capacity(rows.len());
        for (index, (row, adapters)) in rows.iter().zip(&adapters).enumerate() {
            match adapters {
                Err(error) => out.fail(index, *error),
                Ok((adapters, scales)) => parts.push(RowPart {
                    row: index as u32,
                    position: row.pos,
                    tokens: row.tokens,
                    pages: &row.pages[..(row.pos as usize + row.tokens.len()).div_ceil(PAGE)],
                    adapters,
                    scales: *scales,
                    wanted: (out.count(index), out.first(index)),
                    choose: row.choose.filter(|_| out.first_logits(index).is_none()),
                }),
            }
        }
        let limits = plan::Limits {
            heads: self.model.heads as usize,
            width: self.model.head_dim as usize,
            split_bytes: self.options.split_bytes,
        };
        Work::new(rows.len(), &parts, &limits)
    }

    /// Tokens, and what rows want of logits, straight to their places; the final vectors by way of a buffer, since scales are kept big-endian.
    fn results(
        &mut self,
        work: &Work,
        metadata: u64,
        places: Places,
        rows: usize,
        out: &mut StepOutput,
    ) -> Result<(), DeviceError> {
        let (hidden, vocab) = (self.model.hidden as usize, self.limits.vocab as usize);
        let (count, scales) = (work.wanted.len(), hidden / BLOCK);
        let mut marks = vec![0u8; rows * 4];
        let mut chosen = vec![0u8; work.choices.len() * 4];
        let mut plain = vec![0u8; count * hidden];
        let mut plain_scales = vec![0u8; count * scales * 4];
        let buffers = self.workspace.buffers();
        let mut parts: Vec<(u64, &mut [u8])> = vec![
            (metadata + places.failed as u64, &mut marks),
            (metadata + places.chosen as u64, &mut chosen),
            (buffers.plain, &mut plain),
            (buffers.plain_scales, &mut plain_scales),
        ];
        let shown = shown(work, out);
        let mut rest = bytes_of(out.logits_mut());
        let mut taken = 0;
        for run in shown {
            let (_, after) = rest.split_at_mut((run.to - taken) * vocab * 4);
            let (here, after) = after.split_at_mut(run.count * vocab * 4);
            parts.push((buffers.logits + (run.from * vocab * 4) as u64, here));
            (rest, taken) = (after, run.to + run.count);
        }
        self.device.read(&mut parts)?;
        let size = hidden + scales * 4;
        let normed = out.normed_mut();
        for (index, place) in work.outputs.iter().enumerate() {
            let (values, ends) = normed[place * size..][..size].split_at_mut(hidden);
            values.copy_from_slice(&plain[index * hidden..][..hidden]);
            let scales = &plain_scales[index * scales * 4..][..scales * 4];
            for (to, from) in ends.chunks_exact_mut(4).zip(scales.chunks_exact(4)) {
                to.copy_from_slice(from);
                to.reverse();
            }
        }
        note_tokens(work, &chosen, out);
        for (row, mark) in marks.chunks_exact(4).enumerate() {
            if mark != [0; 4] {
                out.fail(row, RowError::NonFinite);
            }
        }
        Ok(())
    }
}

/// Where kernels leave what is read with the metadata.
#[derive(Clone, Copy, Debug)]
struct Places {
    failed: usize,
    chosen: usize,
}

/// Logits that go to the host: positions side by side on the device and there.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: usize,
    to: usize,
    count: usize,
}

/// The rows that run, where their wanted positions begin among the step's, and how many there are.
fn wanted_by_row(work: &Work) -> impl Iterator<Item = (usize, usize, usize)> {
    let row = |token: &u32| work.tokens[*token as usize].row;
    let mut first = 0;
    work.wanted.chunk_by(move |a, b| row(a) == row(b)).map(move |tokens| {
        let at = first;
        first += tokens.len();
        (row(&tokens[0]) as usize, at, tokens.len())
    })
}

/// Places ascend on both sides, with gaps where rows could not run or are chosen for.
fn shown(work: &Work, out: &StepOutput) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (row, from, count) in wanted_by_row(work) {
        let Some(to) = out.first_logits(row) else { continue };
        match runs.last_mut() {
            Some(last) if (last.from + last.count, last.to + last.count) == (from, to) => last.count += count,
            _ => runs.push(Run { from, to, count }),
        }
    }
    runs
}

/// What `choose_tokens` writes where logits allow no choice.
const NO_TOKEN: u32 = u32::MAX;

fn note_tokens(work: &Work, chosen: &[u8], out: &mut StepOutput) {
    let mut tokens = chosen.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    for (row, _, count) in wanted_by_row(work) {
        if out.first_logits(row).is_some() {
            continue;
        }
        for (index, token) in (0..count).zip(&mut tokens) {
            out.choose(row, index, (token != NO_TOKEN).then_some(token));
        }
    }
}

/// Floats as the bytes they are; devices and the machines they are in are little-endian.
fn bytes_of(floats: &mut [f32]) -> &mut [u8] {
    let bytes = size_of_val(floats);
    // SAFETY: the same memory, borrowed alone; any bytes are a float, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), bytes) }
}
