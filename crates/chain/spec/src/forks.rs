//! The fork schedule: one activation per OP fork, the L1 forks derived from them.

use std::fmt;

use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_op_hardforks::{OpHardfork, OpHardforks};

use crate::SpecError;

/// Every fork this node implements, oldest first.
pub const FORKS: [OpHardfork; 10] = [
    OpHardfork::Bedrock,
    OpHardfork::Regolith,
    OpHardfork::Canyon,
    OpHardfork::Ecotone,
    OpHardfork::Fjord,
    OpHardfork::Granite,
    OpHardfork::Holocene,
    OpHardfork::Isthmus,
    OpHardfork::Jovian,
    OpHardfork::Karst,
];

/// Forks whose first block may carry deposits only.
const DEPOSITS_ONLY_ACTIVATION: [OpHardfork; 2] = [OpHardfork::Jovian, OpHardfork::Karst];

/// A time as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{time}"),
            None => f.write_str("never"),
        }
    }
}

/// Activation times. Bedrock is active from genesis on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkSchedule {
    times: [Option<u64>; FORKS.len()],
}

impl ForkSchedule {
    /// Checks that forks come in order and without gaps. `times` follows [`FORKS`]; Bedrock's is ignored.
    pub fn new(mut times: [Option<u64>; FORKS.len()]) -> Result<Self, SpecError> {
        times[0] = Some(0);
        for (index, pair) in times.windows(2).enumerate() {
            let [earlier_time, Some(later_time)] = *pair else { continue };
            if earlier_time.is_none_or(|earlier| earlier > later_time) {
                return Err(SpecError::ForkOrder {
                    earlier: FORKS[index].name(),
                    earlier_time,
                    later: FORKS[index + 1].name(),
                    later_time,
                });
            }
        }
        Ok(Self { times })
    }

    /// Activation time of a fork; `None`: never.
    pub fn time(&self, fork: OpHardfork) -> Option<u64> {
        self.times.get(fork.idx()).copied().flatten()
    }

    /// Whether a fork is active in a block of this time.
    pub fn active(&self, fork: OpHardfork, timestamp: u64) -> bool {
        self.time(fork).is_some_and(|t| timestamp >= t)
    }

    /// The newest fork active at this time.
    pub fn latest(&self, timestamp: u64) -> OpHardfork {
        FORKS.into_iter().rev().find(|fork| self.active(*fork, timestamp)).unwrap_or(OpHardfork::Bedrock)
    }

    /// Whether the block of time `timestamp` is the first of `fork`. Genesis is never one: it has no parent.
    pub fn activates(&self, fork: OpHardfork, parent_timestamp: u64, timestamp: u64) -> bool {
        self.active(fork, timestamp) && !self.active(fork, parent_timestamp)
    }

    /// Whether the block of time `timestamp` must consist of deposits alone, as the first block of Jovian and of
    /// every later fork must.
    pub fn deposits_only(&self, parent_timestamp: u64, timestamp: u64) -> bool {
        DEPOSITS_ONLY_ACTIVATION.into_iter().any(|fork| self.activates(fork, parent_timestamp, timestamp))
    }
}

impl EthereumHardforks for ForkSchedule {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        use EthereumHardfork::{Cancun, Osaka, Prague, Shanghai};
        match fork {
            Shanghai => self.op_fork_activation(OpHardfork::Canyon),
            Cancun => self.op_fork_activation(OpHardfork::Ecotone),
            Prague => self.op_fork_activation(OpHardfork::Isthmus),
            Osaka => self.op_fork_activation(OpHardfork::Karst),
            EthereumHardfork::Dao => ForkCondition::Never,
            EthereumHardfork::Paris => ForkCondition::TTD {
                activation_block_number: 0,
                fork_block: Some(0),
                total_difficulty: Default::default(),
            },
            fork if fork < Shanghai => ForkCondition::ZERO_BLOCK,
            _ => ForkCondition::Never,
        }
    }
}

impl OpHardforks for ForkSchedule {
    fn op_fork_activation(&self, fork: OpHardfork) -> ForkCondition {
        match self.time(fork) {
            _ if fork == OpHardfork::Bedrock => ForkCondition::ZERO_BLOCK,
            Some(time) => ForkCondition::Timestamp(time),
            None => ForkCondition::Never,
        }
    }
}

/// One line, for the log: configuration drift shows at start-up or not at all.
impl fmt::Display for ForkSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fork) in FORKS.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match self.time(fork) {
                Some(time) => write!(f, "{separator}{fork} @{time}")?,
                None => write!(f, "{separator}{fork} never")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(jovian: Option<u64>, karst: Option<u64>) -> Result<ForkSchedule, SpecError> {
        let mut times = [Some(0); FORKS.len()];
        times[OpHardfork::Jovian.idx()] = jovian;
        times[OpHardfork::Karst.idx()] = karst;
        ForkSchedule::new(times)
    }

    #[test]
    fn the_list_is_dense_and_in_the_order_of_the_enum() {
        for (index, fork) in FORKS.into_iter().enumerate() {
            assert_eq!(fork.idx(), index);
        }
    }

    #[test]
    fn gaps_and_reversed_forks_are_refused() {
        assert!(matches!(schedule(None, Some(5)), Err(SpecError::ForkOrder { earlier: "Jovian", .. })));
        assert!(matches!(schedule(Some(6), Some(5)), Err(SpecError::ForkOrder { later_time: 5, .. })));
        assert!(schedule(Some(5), Some(5)).is_ok());
    }

    #[test]
    fn l1_forks_follow_op_forks() {
        let forks = schedule(Some(5), Some(9)).unwrap();
        assert!(!forks.is_osaka_active_at_timestamp(8));
        assert!(forks.is_osaka_active_at_timestamp(9));
        assert!(forks.is_prague_active_at_timestamp(0));
        assert!(!forks.is_amsterdam_active_at_timestamp(u64::MAX));
        assert!(forks.is_london_active_at_block(0) && forks.is_paris_active_at_block(0));
    }

    #[test]
    fn deposits_only_in_the_first_block_of_jovian_and_later() {
        let forks = schedule(Some(5), Some(9)).unwrap();
        assert!(!forks.deposits_only(2, 4));
        assert!(forks.deposits_only(4, 6));
        assert!(!forks.deposits_only(6, 8));
        assert!(forks.deposits_only(8, 10));
        let at_genesis = schedule(Some(0), Some(0)).unwrap();
        assert!(!at_genesis.deposits_only(0, 2));
    }
}
