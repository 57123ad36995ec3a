//! Which backends a node starts with, and what goes on when one breaks.

use crate::{CudaBackend, CudaError, Device, DeviceChoice, DeviceError, Gpus, Options, Tier};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tributary_engine::InferenceBackend;
use tributary_weights::{Config, Hashes, Weights};

/// Opens a device by its number.
pub type OpenDevice = Box<dyn FnMut(i32) -> Result<Box<dyn Device>, DeviceError> + Send>;

/// Gives one engine its backend: a device's, once. When it is asked again, that backend broke: a context that failed stays broken as long
/// as the process lives. Then the others go on, and after the last of them the CPU.
#[derive(Debug)]
pub struct Starter {
    ordinal: i32,
    backend: Option<CudaBackend>,
    /// Whether its device still counts among those that work.
    works: bool,
    fleet: Arc<Fleet>,
}

/// What the starters of a node have in common.
#[derive(Debug)]
struct Fleet {
    tier: Tier,
    /// Devices that work.
    working: Mutex<Working>,
}

#[derive(Debug)]
struct Working {
    count: usize,
    /// Whose engine the CPU is, once no device works.
    cpu: Option<i32>,
}

impl Starter {
    /// Copies the model to these devices, one backend each, and gives a starter for each that works. The weights' layers are taken then. If
    /// none works, the weights are as they were, the log says why, as loud as what was `wanted` makes it, and there is one starter, which says
    /// that it is the CPU's turn with them.
    ///
    /// In a fast tier the CPU never has a turn: it answers otherwise, under another profile than the one that the node has told
    /// everybody; so what would be its turn is an error.
    pub fn start(
        wanted: (DeviceChoice, &Gpus),
        devices: &[i32],
        options: &Options,
        mut open: OpenDevice,
        model: (&Config, &mut Weights, &Hashes),
    ) -> Result<Vec<Self>, CudaError> {
        let tier = options.tier;
        let (config, weights, hashes) = model;
        if devices.is_empty() {
            return cpu_alone(tier, &"the CPU was chosen");
        }
        // One after the other: what the first has compiled the others find on disk.
        let opened: Vec<_> = devices.iter().map(|ordinal| (*ordinal, open(*ordinal))).collect();
        let outcomes =
            all_at_once(opened, |device| CudaBackend::copying(device, config, weights, hashes, options));
        let (mut backends, failed) = those_that_work(outcomes);
        if backends.is_empty() {
            if !tier.is_fast() {
                // In a fast tier the caller has the error.
                tell(wanted, &failed);
            }
            return cpu_alone(tier, &reasons(&failed));
        }
        for (gpu, error) in &failed {
            tracing::error!(gpu, %error, "This CUDA device cannot be used, others serve");
        }
        let layers = std::mem::take(&mut weights.layers);
        CudaBackend::keep(backends.iter_mut().map(|(_, backend)| backend), layers);
        let working = Mutex::new(Working { count: backends.len(), cpu: None });
        let fleet = Arc::new(Fleet { tier, working });
        let starter = |(ordinal, backend)| Self {
            ordinal,
            backend: Some(backend),
            works: true,
            fleet: Arc::clone(&fleet),
        };
        Ok(backends.into_iter().map(starter).collect())
    }

    /// The backend of its device; nothing when it is the CPU's turn; an error when others go on, or nobody does.
    pub fn backend(&mut self) -> Result<Option<CudaBackend>, CudaError> {
        if let Some(backend) = self.backend.take() {
            return Ok(Some(backend));
        }
        if let Some(others) = self.leave() {
            tracing::error!(gpu = self.ordinal, others, "A CUDA backend broke");
        }
        let mut working = self.fleet.working();
        if working.count > 0 {
            return Err(CudaError::Gone(self.ordinal));
        }
        let tier = self.fleet.tier;
        if tier.is_fast() {
            let reason = "the CUDA backend broke; the node has to be started again".to_owned();
            return Err(CudaError::Alone { tier, reason });
        }
        // Where there never was a GPU, that the CPU serves is no failure.
        let takes_over = working.cpu.is_none();
        if *working.cpu.get_or_insert(self.ordinal) != self.ordinal {
            return Err(CudaError::Gone(self.ordinal));
        }
        if takes_over {
            tracing::error!("The CPU goes on serving until the node is started again");
        }
        Ok(None)
    }

    /// No longer counts among those that work; how many others do, if it did until now.
    fn leave(&mut self) -> Option<usize> {
        std::mem::replace(&mut self.works, false).then(|| {
            let mut working = self.fleet.working();
            working.count -= 1;
            working.count
        })
    }
}

impl Drop for Starter {
    /// Its engine has ended: whoever is left of the others is not to rely on its device.
    fn drop(&mut self) {
        self.leave();
    }
}

impl Fleet {
    fn working(&self) -> MutexGuard<'_, Working> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The starter of a node without devices.
fn cpu_alone(tier: Tier, reason: &dyn fmt::Display) -> Result<Vec<Starter>, CudaError> {
    if tier.is_fast() {
        return Err(CudaError::Alone { tier, reason: reason.to_string() });
    }
    let fleet = Arc::new(Fleet { tier, working: Mutex::new(Working { count: 0, cpu: Some(0) }) });
    Ok(vec![Starter { ordinal: 0, backend: None, works: false, fleet }])
}

type Opened = (i32, Result<Box<dyn Device>, DeviceError>);
type Outcome<T> = (i32, Result<T, CudaError>);

/// Makes a backend of each device that was opened; several at the same time.
fn all_at_once<T: Send>(
    opened: Vec<Opened>,
    make: impl Fn(Box<dyn Device>) -> Result<T, CudaError> + Sync,
) -> Vec<Outcome<T>> {
    let make = &make;
    let panicked = || CudaError::Model("its start panicked".to_owned());
    std::thread::scope(|scope| {
        let started: Vec<_> = opened
            .into_iter()
            .map(|(ordinal, device)| (ordinal, scope.spawn(move || make(device.map_err(CudaError::from)?))))
            .collect();
        started
            .into_iter()
            .map(|(ordinal, thread)| (ordinal, thread.join().unwrap_or_else(|_| Err(panicked()))))
            .collect()
    })
}

type Failed = (i32, CudaError);

/// Backends that compute the same as the first, and why the others are none.
fn those_that_work(outcomes: Vec<Outcome<CudaBackend>>) -> (Vec<(i32, CudaBackend)>, Vec<Failed>) {
    let (mut backends, mut failed): (Vec<(i32, CudaBackend)>, Vec<_>) = (Vec::new(), Vec::new());
    for (ordinal, outcome) in outcomes {
        match outcome {
            Ok(backend) if backends.first().is_some_and(|first| first.1.identity() != backend.identity()) => {
                failed.push((
                    ordinal,
                    CudaError::Model("it computes by another profile than the first".to_owned()),
                ));
            }
            Ok(backend) => backends.push((ordinal, backend)),
            Err(error) => failed.push((ordinal, error)),
        }
    }
    (backends, failed)
}

/// In one line, by number where there are several.
fn reasons(failed: &[Failed]) -> String {
    match failed {
        [(_, error)] => error.to_string(),
        _ => failed.iter().map(|(gpu, error)| format!("GPU {gpu}: {error}")).collect::<Vec<_>>().join("; "),
    }
}

/// Whether nobody asked for what is not there.
fn is_expected((choice, gpus): (DeviceChoice, &Gpus), failed: &[Failed]) -> bool {
    let absent = |(_, error): &Failed| matches!(error, CudaError::Device(DeviceError::Absent(_)));
    choice == DeviceChoice::Auto && *gpus == Gpus::All && failed.iter().all(absent)
}

/// Why the CPU serves.
fn tell(wanted: (DeviceChoice, &Gpus), failed: &[Failed]) {
    if is_expected(wanted, failed) {
        tracing::info!(reason = reasons(failed), "No CUDA device, serving on the CPU");
        return;
    }
    for (gpu, error) in failed {
        tracing::error!(gpu, %error, "The CUDA device cannot be used, serving on the CPU");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(gpu: i32) -> Failed {
        (gpu, CudaError::Device(DeviceError::Absent("no driver".into())))
    }

    fn small(gpu: i32) -> Failed {
        (gpu, CudaError::Model("too little memory".into()))
    }

    #[test]
    fn only_what_nobody_asked_for_may_be_absent_in_silence() {
        let (auto, all, two) = (DeviceChoice::Auto, &Gpus::All, &Gpus::These(vec![0, 1]));
        assert!(is_expected((auto, all), &[absent(0)]));
        assert!(!is_expected((auto, two), &[absent(0), absent(1)]));
        assert!(!is_expected((DeviceChoice::Cuda(None), all), &[absent(0)]));
        // Whichever of them was the last.
        assert!(!is_expected((auto, all), &[small(0), absent(1)]));
    }

    #[test]
    fn every_failure_is_named() {
        assert_eq!(reasons(&[small(3)]), small(3).1.to_string());
        let all = reasons(&[small(0), absent(1)]);
        assert!(
            all.contains("GPU 0") && all.contains("too little memory") && all.contains("no driver"),
            "{all}"
        );
    }

    fn starter(ordinal: i32, fleet: &Arc<Fleet>) -> Starter {
        Starter { ordinal, backend: None, works: true, fleet: Arc::clone(fleet) }
    }

    /// Engines that were drained count no more: the last one goes on with the CPU, as one alone does.
    #[test]
    fn who_has_ended_does_not_go_on_for_others() {
        let working = Mutex::new(Working { count: 2, cpu: None });
        let fleet = Arc::new(Fleet { tier: Tier::Deterministic, working });
        let (drained, mut last) = (starter(0, &fleet), starter(1, &fleet));
        drop(drained);
        assert!(matches!(last.backend(), Ok(None)));
    }
}
