//! The row of memory, in a process of its own.

use crate::{
    lora::{self, Folders},
    report::Row,
    served::Served,
};
use eyre::{Result, ensure, eyre};
use std::{path::Path, process::Command, sync::Arc, time::Duration};
use tributary_api::{Api, ApiConfig, ApiParts, FreeGate, StaticResolver, TextModel, types::ModelCard};
use tributary_cpu::Options;
use tributary_engine::EngineConfig;

/// Runs [`measure`] in a process that does nothing else; its row.
pub(crate) fn row(model: &Path, folder: &Path, threads: usize, registered: usize) -> Result<Row> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--model")
        .arg(model)
        .arg("--folder")
        .arg(folder)
        .args([
            "--threads",
            &threads.to_string(),
            "--registered",
            &registered.to_string(),
            "--measure-memory",
        ])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [idle, registered_more, weights] = numbers[..] else { return Err(eyre!("unexpected: {text}")) };
    let mut row =
        Row::new("memory, Pss", format!("idle {idle:.0} MB, 2,000 r8 registered {registered_more:+.1} MB"));
    row.bound = format!("weights {weights:.0} MB");
    row.rest = "tokenizer, buffers of a step of 512 tokens, threads, the program".into();
    Ok(row.most("above weights MB", idle - weights, 150.0).most("registered MB", registered_more, 20.0))
}

/// Prints the proportional set size of an idle server, what registering adapters adds, and the weights' size.
pub(crate) fn measure(model: &Path, folder: &Path, threads: usize, registered: usize) -> Result<()> {
    let options = Options { threads, ..Options::default() };
    let served = Served::open(model, &options, EngineConfig::default(), &lora::kept(folder))?;
    let folders = Folders::make(folder, &served.model.geometry, 8, registered, 128)?;
    let parts = |resolver| {
        Ok::<_, eyre::Report>(Api::new(ApiParts {
            store: served.store(folder, 512 << 20)?,
            engine: served.engine.clone(),
            text: TextModel::new(Arc::clone(&served.model.tokenizer), served.model.chat.clone()),
            gate: Arc::new(FreeGate),
            resolver: Arc::new(resolver),
            config: ApiConfig::default(),
            embedder: None,
            metrics: None,
        }))
    };
    let base = || StaticResolver::new(ModelCard::base("base", "base"));
    let idle = parts(base())?;
    std::thread::sleep(Duration::from_millis(500));
    let before = pss()?;
    let mut resolver = base();
    for (n, source) in folders.sources.iter().enumerate() {
        resolver = resolver.with_adapter(format!("adapter-{n}"), source.clone());
    }
    let all = parts(resolver)?;
    std::thread::sleep(Duration::from_millis(500));
    let after = pss()?;
    drop((idle, all));
    println!("{before} {} {}", after - before, std::fs::metadata(model)?.len() as f64 / 1e6);
    Ok(())
}

/// Megabytes.
fn pss() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or_else(|| eyre!("no Pss"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1.024e-3)
}
