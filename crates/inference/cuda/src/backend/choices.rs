//! The self-test of choosing: tokens from made-up logits on the device, compared with what the engine chooses.

use super::vectors::{Case, header, run};
use crate::{
    CudaError, Device,
    launch::{
        CHOOSE_THREADS, Kernel, Launch,
        params::{Choice, ChooseParams},
    },
};
use tributary_engine::{Choosing, PPM};

/// More than a block has threads, and no multiple of them.
const VOCAB: usize = 701;
/// Word of the header with the number of choices.
const CHOICES: usize = 5;

/// Greedily; through ties in each cut; by the draw alone; and where there is no choice.
fn cases() -> [Choosing; 4] {
    let all = Choosing { temperature: 0.75, top_k: 0, top_p: PPM, min_p: 0, seed: 7, choice: 1, position: 3 };
    let cut = Choosing { top_k: 90, top_p: 800_000, min_p: 30_000, ..all };
    [Choosing { temperature: 0.0, ..all }, cut, all, all]
}

/// Few values, so that many tokens have the same; zeros of both signs.
fn logits(case: usize) -> Vec<f32> {
    let mut state = case as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut logits: Vec<f32> = (0..VOCAB).map(|_| (next() % 17) as f32 * 0.375 - 4.0).collect();
    logits[VOCAB / 2] = -0.0;
    if case == 3 {
        logits[VOCAB - 1] = f32::NAN;
    }
    logits
}

/// Refuses a device that chooses otherwise than the engine.
pub(super) fn check(device: &mut dyn Device) -> Result<(), CudaError> {
    let cases = cases();
    let all: Vec<Vec<f32>> = (0..cases.len()).map(logits).collect();
    let mut case = Case::default();
    let header = case.words(&header(CHOICES, cases.len()));
    let told = cases.iter().enumerate().flat_map(|(index, how)| Choice::of(how, index as u32, 0).bytes());
    let choices = case.input(told.collect());
    let placed = case.floats(&all.concat());
    let (ids, chosen) = (case.output(cases.len() * VOCAB), case.output(cases.len()));
    let launches = |base: u64| {
        let params = ChooseParams {
            header: base + header,
            choices: base + choices,
            chosen: base + chosen,
            logits: base + placed,
            ids: base + ids,
            vocab: VOCAB as u32,
            pad: 0,
        };
        let (grid, params) = ([cases.len() as u32, 1, 1], params.bytes());
        vec![Launch { kernel: Kernel::ChooseTokens, grid, threads: CHOOSE_THREADS, params }]
    };
    let found = run(device, &case, &[(chosen, cases.len() * 4)], launches)?;
    let found = found[0].as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let wanted = cases.iter().zip(&all).map(|(how, logits)| how.token(0, logits).unwrap_or(u32::MAX));
    match found.zip(wanted).position(|(found, wanted)| found != wanted) {
        None => Ok(()),
        Some(index) => Err(CudaError::SelfTest(format!("choice {index} of a token"))),
    }
}
