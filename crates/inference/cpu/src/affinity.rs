//! Which CPUs the threads of a pool run on.
//!
//! The system moves threads between CPUs as it sees fit. Where two CPUs are one core's, it may put two threads of a step on one core while
//! another idles; where the machine does nothing else, it need not move anything at all. So an operator may say.

use crate::CpuError;
use std::{collections::BTreeSet, fmt, fs, io, num::NonZero, str::FromStr, thread};

/// Number of a CPU at most, as the system's own set of them has it.
const CPUS: usize = libc::CPU_SETSIZE as usize;

/// A choice of CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// The system chooses, and may choose again at any moment.
    #[default]
    System,
    /// A thread on each core that the process may use, on the second CPUs of cores only when there are more threads than cores.
    Cores,
    /// A thread on each of these.
    Cpus(Vec<usize>),
}

impl Affinity {
    /// How many threads it is a choice for: as many as CPUs are named, or one for each core; as many as there are CPUs where the system
    /// chooses.
    pub fn threads(&self) -> Result<usize, CpuError> {
        Ok(match self {
            Self::System => available(),
            Self::Cores => cores(&allowed(process())?, core_of).min(available()),
            Self::Cpus(cpus) => cpus.len(),
        })
    }

    /// Whether so many threads can have their CPUs as things stand.
    pub fn check(&self, threads: usize) -> Result<(), CpuError> {
        self.place(threads).map(drop)
    }

    /// The CPU of each of some threads; none where the system chooses.
    pub(crate) fn place(&self, threads: usize) -> Result<Vec<usize>, CpuError> {
        let cpus = match self {
            Self::System => return Ok(Vec::new()),
            Self::Cores => one_of_each_core_first(&allowed(process())?, core_of),
            Self::Cpus(cpus) => cpus.clone(),
        };
        let there = allowed(process())?;
        if let Some(missing) = cpus.iter().find(|cpu| !there.contains(cpu)) {
            return Err(CpuError::Threads(format!("this process may not run on CPU {missing}")));
        }
        if cpus.len() < threads {
            let text = format!("{threads} threads for {} CPUs ({self})", cpus.len());
            return Err(CpuError::Threads(text));
        }
        Ok(cpus.into_iter().take(threads).collect())
    }
}

impl FromStr for Affinity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::System),
            "cores" => Ok(Self::Cores),
            list => parse(list).map(Self::Cpus),
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("none"),
            Self::Cores => f.write_str("cores"),
            Self::Cpus(cpus) => {
                let cpus: Vec<String> = cpus.iter().map(ToString::to_string).collect();
                f.write_str(&cpus.join(","))
            }
        }
    }
}

/// Numbers and ranges in the order given, as `0-3,8`.
fn parse(list: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{part}: from {first} down to {last}"));
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return Err(format!("CPU {cpu} is there twice"));
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

fn number(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is no CPU: expected none, cores, or numbers and ranges as 0-3,8");
    let cpu: usize = text.trim().parse().map_err(|_| wrong())?;
    if cpu < CPUS { Ok(cpu) } else { Err(format!("CPU {cpu}: numbers go to {}", CPUS - 1)) }
}

/// CPUs that the system lets the process make use of, its share of their time included.
fn available() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// How many cores some CPUs are.
fn cores(cpus: &[usize], core_of: impl Fn(usize) -> usize) -> usize {
    cpus.iter().map(|cpu| core_of(*cpu)).collect::<BTreeSet<_>>().len()
}

/// CPUs ordered so that each core has had one before any has a second.
fn one_of_each_core_first(cpus: &[usize], core_of: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut met: Vec<usize> = Vec::new();
    let mut turn = |cpu: usize| {
        let core = core_of(cpu);
        met.push(core);
        met.iter().filter(|other| **other == core).count()
    };
    let mut turns: Vec<(usize, usize)> = cpus.iter().map(|cpu| (turn(*cpu), *cpu)).collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, cpu)| cpu).collect()
}

/// The core of a CPU, by the first CPU that it has; a CPU that the system says nothing of is a core.
fn core_of(cpu: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let siblings = fs::read_to_string(path).ok().and_then(|list| parse(list.trim()).ok());
    siblings.and_then(|siblings| siblings.first().copied()).unwrap_or(cpu)
}

/// The process, as the system's calls name its first thread: the only one whose CPUs nobody here has narrowed.
fn process() -> libc::pid_t {
    // SAFETY: a question without conditions.
    unsafe { libc::getpid() }
}

/// CPUs that a thread may run on.
fn allowed(thread: libc::pid_t) -> Result<Vec<usize>, CpuError> {
    // SAFETY: a set of bits is plain memory, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is as long as it says.
    if unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) } != 0 {
        return Err(CpuError::Threads(format!("which CPUs there are: {}", io::Error::last_os_error())));
    }
    // SAFETY: every number is below the set's size.
    Ok((0..CPUS).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps the calling thread on a CPU. Where the system no longer lets it, it runs where it did: slower, not wrong.
pub(crate) fn bind(cpu: usize) {
    // SAFETY: as in [`allowed`].
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: [`Affinity::place`] gives only numbers that the system named.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is as long as it says.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } != 0 {
        let error = io::Error::last_os_error();
        tracing::warn!(cpu, %error, "cannot keep a thread that computes on its CPU");
    }
}

/// CPUs that the calling thread may run on.
#[cfg(test)]
pub(crate) fn here() -> Result<Vec<usize>, CpuError> {
    allowed(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_are_written_as_read() {
        assert_eq!("4,0-2".parse(), Ok(Affinity::Cpus(vec![4, 0, 1, 2])));
        for text in ["none", "cores", "0,1,7"] {
            assert_eq!(text.parse::<Affinity>().unwrap().to_string(), text);
        }
        for wrong in ["", "a", "1-", "-1", "3-1", "0,0", "0-2,1", "1024", "0-99999999999999999999", "0;1"] {
            assert!(wrong.parse::<Affinity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn second_cpus_of_cores_come_last() {
        // Eight CPUs on four cores, numbered side by side as some machines do, or in two halves as others.
        assert_eq!(
            one_of_each_core_first(&[0, 1, 2, 3, 4, 5, 6, 7], |cpu| cpu / 2),
            [0, 2, 4, 6, 1, 3, 5, 7]
        );
        assert_eq!(
            one_of_each_core_first(&[0, 1, 2, 3, 4, 5, 6, 7], |cpu| cpu % 4),
            [0, 1, 2, 3, 4, 5, 6, 7]
        );
        assert_eq!(one_of_each_core_first(&[2, 3, 5], |cpu| cpu / 2), [2, 5, 3]);
        assert_eq!(cores(&[2, 3, 5], |cpu| cpu / 2), 2);
    }

    #[test]
    fn there_are_as_many_threads_as_cores_or_as_are_named() {
        let cores = Affinity::Cores.threads().unwrap();
        assert!((1..=available()).contains(&cores));
        Affinity::Cores.check(cores).unwrap();
        assert_eq!(Affinity::Cpus(vec![5, 3]).threads(), Ok(2));
        assert_eq!(Affinity::System.threads(), Ok(available()));
    }

    #[test]
    fn more_threads_than_cpus_are_refused() {
        let last = *allowed(process()).unwrap().last().unwrap();
        assert_eq!(Affinity::System.place(4096), Ok(vec![]));
        assert_eq!(Affinity::Cpus(vec![last]).place(1), Ok(vec![last]));
        assert!(Affinity::Cpus(vec![last]).place(2).is_err());
        assert!(Affinity::Cores.place(4096).is_err());
        assert!(Affinity::Cpus(vec![last, CPUS - 1]).place(1).is_err(), "this machine has a thousand CPUs");
    }

    #[test]
    fn a_bound_thread_may_run_nowhere_else() {
        let last = *allowed(process()).unwrap().last().unwrap();
        thread::spawn(move || {
            bind(last);
            assert_eq!(here(), Ok(vec![last]));
        })
        .join()
        .unwrap();
    }
}
