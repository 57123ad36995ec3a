//! The fast tiers on the device.

use crate::{Outcome, company::one, open};
use tributary_cuda::{Device, Tier};

/// Models a tier.
const MODELS: u64 = 48;

pub(crate) fn run() -> Outcome {
    let capability = open(Tier::Deterministic)?.capability();
    for tier in [Tier::Fast, Tier::FastFp8] {
        if let Err(refused) = tier.check(capability) {
            println!("{tier}: not checked, {refused}");
            continue;
        }
        let mut worst = [0.0f64; 2];
        for seed in 0..MODELS {
            one(Box::new(open(tier)?), tier, seed, &mut worst)?;
        }
        println!(
            "{tier}: {MODELS} models, logits within {:.5} of f64 with the tier's rounding and {:.4} of f64 without; mixed steps and other cuts, the same bits",
            worst[0], worst[1]
        );
    }
    Ok(())
}
