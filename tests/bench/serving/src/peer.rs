//! llama.cpp, measured by `peer.py` in a process of its own that waits while it is not asked.

use eyre::{Context, Result, bail, ensure};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running `peer.py`.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Which file llama.cpp serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// The one that Tributary serves.
    Same,
    /// Its fastest four-bit form of it.
    Best,
}

impl Peer {
    /// Starts it and waits until its models are loaded.
    pub(crate) fn start(
        python: &Path,
        script: &Path,
        model: &Path,
        folder: &Path,
        threads: usize,
    ) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .args(["--threads", &threads.to_string()])
            .arg("--model")
            .arg(model)
            .arg("--folder")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .wrap_err_with(|| format!("{}", python.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("no pipes to the peer");
        };
        let mut peer = Self { child, input, output: BufReader::new(output) };
        let line = peer.line()?;
        ensure!(line == "ready", "the peer says {line:?}");
        Ok(peer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the peer ended");
        Ok(line.trim().to_owned())
    }

    /// Tokens a second of one measurement.
    pub(crate) fn measure(&mut self, case: &str, file: File) -> Result<f64> {
        let file = match file {
            File::Same => "same",
            File::Best => "best",
        };
        writeln!(self.input, "{case} {file}")?;
        self.input.flush()?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends when its input does; one that hangs is not waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
