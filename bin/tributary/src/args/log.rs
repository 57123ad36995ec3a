//! `-v`, `--color` and `--log.*`, as reth spells them.

use std::{io::IsTerminal, path::PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use eyre::{Context, Result};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Terminal,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// Always.
    Always,
    /// On a terminal.
    Auto,
    /// Never.
    Never,
}

/// Logging.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// Format of the lines on stdout.
    #[arg(long = "log.stdout.format", value_enum, default_value = "terminal", global = true)]
    pub(crate) stdout_format: Format,

    /// Filter of the lines on stdout, in the syntax of `RUST_LOG`.
    #[arg(long = "log.stdout.filter", value_name = "FILTER", default_value = "", global = true)]
    pub(crate) stdout_filter: String,

    /// Folder of the log file; none is written without it.
    #[arg(long = "log.file.directory", value_name = "DIR", global = true)]
    pub(crate) file_directory: Option<PathBuf>,

    /// Format of the log file.
    #[arg(long = "log.file.format", value_enum, default_value = "terminal", global = true)]
    pub(crate) file_format: Format,

    /// Filter of the log file.
    #[arg(long = "log.file.filter", value_name = "FILTER", default_value = "info", global = true)]
    pub(crate) file_filter: String,

    /// Colour of the lines on stdout.
    #[arg(long, value_enum, default_value = "auto", global = true)]
    pub(crate) color: Color,

    /// Verbosity: -v errors, -vv warnings, -vvv info (default), -vvvv debug, -vvvvv trace.
    #[arg(short, long = "verbosity", action = ArgAction::Count, global = true, default_value_t = 3)]
    pub(crate) verbosity: u8,

    /// Only errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl LogArgs {
    /// Installs the subscriber. Lines go to stdout, or to stderr for the commands whose stdout is an answer.
    pub(crate) fn init(&self, to_stderr: bool) -> Result<()> {
        let mut layers: Vec<BoxedLayer> = vec![self.stdout_layer(to_stderr)?];
        if let Some(directory) = &self.file_directory {
            layers.push(self.file_layer(directory)?);
        }
        tracing_subscriber::registry()
            .with(layers)
            .try_init()
            .wrap_err("a log subscriber is already installed")
    }

    fn level(&self) -> &'static str {
        if self.quiet {
            return "error";
        }
        match self.verbosity {
            0 | 1 => "error",
            2 => "warn",
            3 => "info",
            4 => "debug",
            _ => "trace",
        }
    }

    fn stdout_layer(&self, to_stderr: bool) -> Result<BoxedLayer> {
        // Libraries that tell too much at debug level stay at info unless the filter names them.
        let quiet = [
            "hyper",
            "h2",
            "jsonrpsee-server",
            "reqwest",
            "tower",
            "soketto",
            "rustls",
            "libp2p",
            "multistream_select",
            "netlink",
            "yamux",
            "hickory",
        ];
        let default =
            quiet.iter().fold(self.level().to_owned(), |filter, name| format!("{filter},{name}=warn"));
        let filter = if self.stdout_filter.is_empty() { default } else { self.stdout_filter.clone() };
        let filter = EnvFilter::try_new(filter).wrap_err("--log.stdout.filter")?;
        let ansi = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal(),
        };
        let layer = tracing_subscriber::fmt::layer().with_ansi(ansi);
        Ok(match (self.stdout_format, to_stderr) {
            (Format::Json, false) => layer.json().with_filter(filter).boxed(),
            (Format::Terminal, false) => layer.with_filter(filter).boxed(),
            (Format::Json, true) => layer.json().with_writer(std::io::stderr).with_filter(filter).boxed(),
            (Format::Terminal, true) => layer.with_writer(std::io::stderr).with_filter(filter).boxed(),
        })
    }

    fn file_layer(&self, directory: &std::path::Path) -> Result<BoxedLayer> {
        std::fs::create_dir_all(directory)
            .wrap_err_with(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join("tributary.log");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .wrap_err_with(|| format!("cannot open {}", path.display()))?;
        let filter = EnvFilter::try_new(&self.file_filter).wrap_err("--log.file.filter")?;
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::sync::Arc::new(file));
        Ok(match self.file_format {
            Format::Json => layer.json().with_filter(filter).boxed(),
            Format::Terminal => layer.with_filter(filter).boxed(),
        })
    }
}
