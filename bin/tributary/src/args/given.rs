//! Which flags somebody gave, as opposed to those that are at their defaults.

use std::collections::BTreeSet;

use clap::{ArgMatches, Command, parser::ValueSource};

/// Flags by their names, from the command line or the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(BTreeSet<String>);

impl Given {
    /// Those of a command, and of its subcommand that was called.
    pub(crate) fn read(command: &Command, matches: &ArgMatches) -> Self {
        let mut given = BTreeSet::new();
        let (mut command, mut matches) = (Some(command), Some(matches));
        while let (Some(of), Some(values)) = (command, matches) {
            let flags =
                of.get_arguments().filter_map(|flag| Some((flag.get_id().as_str(), flag.get_long()?)));
            let known: BTreeSet<&str> = values.ids().map(|id| id.as_str()).collect();
            let set = |id: &str| {
                let source = known.contains(id).then(|| values.value_source(id)).flatten();
                matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
            };
            given.extend(flags.filter(|(id, _)| set(id)).map(|(_, flag)| flag.to_owned()));
            (command, matches) = match values.subcommand() {
                Some((name, values)) => (of.find_subcommand(name), Some(values)),
                None => (None, None),
            };
        }
        Self(given)
    }

    /// Whether a flag was given.
    pub(crate) fn contains(&self, flag: &str) -> bool {
        self.0.contains(flag)
    }

    /// Those that are one of `names`, or begin with one that ends in a dot.
    pub(crate) fn among<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let named = |flag: &str, name: &str| flag == name || (name.ends_with('.') && flag.starts_with(name));
        self.0.iter().map(String::as_str).filter(move |flag| names.iter().any(|name| named(flag, name)))
    }
}
