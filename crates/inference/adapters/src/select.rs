//! Which linear layers a configuration targets, with what rank and scale: PEFT's matching rules.

use crate::{
    adapter::{Geometry, Projection},
    config::{ModuleSelector, PeftConfig},
    error::AdapterError,
};
use regex::bytes::{Regex, RegexBuilder};

/// A linear layer that the configuration targets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) layer: u32,
    pub(crate) projection: Projection,
    /// Path as PEFT names it, such as `model.layers.0.self_attn.q_proj`.
    pub(crate) path: String,
    pub(crate) rank: u32,
    pub(crate) scale: f32,
}

/// Bound on a compiled pattern: they come from strangers.
const PATTERN_BYTES: usize = 256 << 10;
/// Bound on patterns of one kind: one for each layer of a large model, and some.
const PATTERNS: usize = 4096;

/// Every targeted layer, ascending by (layer, projection). A name that matches nothing is an error.
pub(crate) fn targets(config: &PeftConfig, geometry: &Geometry) -> Result<Vec<Target>, AdapterError> {
    let include = Matcher::new(&config.targets)?;
    let exclude = config.excludes.as_ref().map(Matcher::new).transpose()?;
    let mut unmatched = include.names();
    let mut places = Vec::new();
    for layer in 0..geometry.layers {
        for projection in Projection::ALL {
            let path = format!("model.layers.{layer}.{}", projection.path());
            unmatched.retain(|name| !name_matches(name, &path));
            let listed = config.layers.is_empty() || config.layers.contains(&layer);
            let kept = exclude.as_ref().is_none_or(|exclude| !exclude.matches(&path));
            if listed && kept && include.matches(&path) {
                places.push((layer, projection, path));
            }
        }
    }
    if let Some(name) = unmatched.first() {
        return Err(AdapterError::UnknownModule((*name).to_owned()));
    }
    if let Some(layer) = config.layers.iter().find(|layer| **layer >= geometry.layers) {
        return Err(AdapterError::UnknownModule(format!("model.layers.{layer}")));
    }
    if places.is_empty() {
        return Err(AdapterError::UnknownModule(include.describe()));
    }
    let paths: Vec<&str> = places.iter().map(|(.., path)| path.as_str()).collect();
    let ranks = first_matches(&config.rank_pattern, &paths)?;
    let alphas = first_matches(&config.alpha_pattern, &paths)?;
    let target =
        |((layer, projection, path), (rank, alpha)): ((_, _, String), (Option<u32>, Option<f32>))| {
            let (rank, alpha) = (rank.unwrap_or(config.r), alpha.unwrap_or(config.alpha));
            Target { layer, projection, path, rank, scale: scale(alpha, rank, config.rslora) }
        };
    Ok(places.into_iter().zip(ranks.into_iter().zip(alphas)).map(target).collect())
}

/// `α/r`, or `α/√r`: each operation rounded to f32.
fn scale(alpha: f32, rank: u32, rslora: bool) -> f32 {
    if rslora { alpha / (rank as f32).sqrt() } else { alpha / rank as f32 }
}

enum Matcher<'a> {
    AllLinear,
    Names(&'a [String]),
    Pattern { source: &'a str, regex: Regex },
}

impl<'a> Matcher<'a> {
    fn new(selector: &'a ModuleSelector) -> Result<Self, AdapterError> {
        Ok(match selector {
            ModuleSelector::Pattern(all) if all == "all-linear" => Self::AllLinear,
            ModuleSelector::Names(names) if names.iter().any(|name| name == "all-linear") => Self::AllLinear,
            ModuleSelector::Names(names) => Self::Names(names),
            ModuleSelector::Pattern(source) => {
                Self::Pattern { source, regex: compile(&format!("^(?:{source})$"))? }
            }
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Names(names) => names.iter().any(|name| name_matches(name, path)),
            Self::Pattern { regex, .. } => regex.is_match(path.as_bytes()),
        }
    }

    fn names(&self) -> Vec<&'a str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::AllLinear => "all-linear".into(),
            Self::Names(names) => names.join(", "),
            Self::Pattern { source, .. } => (*source).to_owned(),
        }
    }
}

fn name_matches(name: &str, path: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// For each path the value of the first pattern that matches it. One pattern is in memory at a time.
fn first_matches<T: Copy>(pairs: &[(String, T)], paths: &[&str]) -> Result<Vec<Option<T>>, AdapterError> {
    if pairs.len() > PATTERNS {
        return Err(AdapterError::Config(format!("{} patterns; at most {PATTERNS} are read", pairs.len())));
    }
    let mut found = vec![None; paths.len()];
    for (key, value) in pairs {
        let regex = compile(&format!(r"^(?:.*\.)?(?:{key})$"))?;
        for (path, found) in paths.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            *found = regex.is_match(path.as_bytes()).then_some(*value);
        }
    }
    Ok(found)
}

/// Over bytes: paths are ASCII, and classes of all that Unicode calls a letter would take a hundred times the time and memory.
fn compile(pattern: &str) -> Result<Regex, AdapterError> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| AdapterError::Config(format!("pattern {pattern:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { layers: 12, hidden: 64, intermediate: 96, query: 64, key: 32 };

    fn config(targets: &str, more: &str) -> PeftConfig {
        let text =
            format!(r#"{{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":{targets}{more}}}"#);
        PeftConfig::parse(text.as_bytes()).unwrap()
    }

    fn paths(targets_json: &str, more: &str) -> Vec<String> {
        targets(&config(targets_json, more), &GEOMETRY).unwrap().into_iter().map(|t| t.path).collect()
    }

    #[test]
    fn names_match_whole_path_segments() {
        assert_eq!(paths(r#"["q_proj"]"#, "").len(), 12);
        assert_eq!(paths(r#"["self_attn.q_proj","mlp.up_proj"]"#, "").len(), 24);
        // "proj" is no segment of its own, so it must not match `q_proj`.
        assert_eq!(
            targets(&config(r#"["proj"]"#, ""), &GEOMETRY),
            Err(AdapterError::UnknownModule("proj".into()))
        );
    }

    #[test]
    fn all_linear_leaves_the_head_out() {
        assert_eq!(paths(r#""all-linear""#, "").len(), 84);
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        assert_eq!(paths(r#"".*layers\\.(1|11)\\.self_attn\\.[qv]_proj""#, "").len(), 4);
        assert!(matches!(
            targets(&config(r#""q_proj""#, ""), &GEOMETRY),
            Err(AdapterError::UnknownModule(_))
        ));
        assert!(matches!(targets(&config(r#""(?=x)""#, ""), &GEOMETRY), Err(AdapterError::Config(_))));
    }

    #[test]
    fn layers_and_exclusions() {
        assert_eq!(paths(r#"["q_proj"]"#, r#","layers_to_transform":[0,3]"#).len(), 2);
        assert_eq!(
            paths(r#"["q_proj"]"#, r#","layers_to_transform":5"#),
            ["model.layers.5.self_attn.q_proj"]
        );
        assert_eq!(paths(r#""all-linear""#, r#","exclude_modules":["down_proj"]"#).len(), 72);
        assert!(matches!(
            targets(&config(r#"["q_proj"]"#, r#","layers_to_transform":[12]"#), &GEOMETRY),
            Err(AdapterError::UnknownModule(_))
        ));
    }

    #[test]
    fn unknown_modules_are_named() {
        for name in ["lm_head", "embed_tokens", "c_attn", ""] {
            let found = targets(&config(&format!(r#"["q_proj","{name}"]"#), ""), &GEOMETRY);
            assert_eq!(found, Err(AdapterError::UnknownModule(name.into())));
        }
    }

    #[test]
    fn rank_and_alpha_by_pattern_first_match_wins() {
        let more =
            r#","rank_pattern":{"layers.1.self_attn.q_proj":4,"q_proj":2},"alpha_pattern":{"v_proj":5}"#;
        let found = targets(&config(r#"["q_proj","v_proj"]"#, more), &GEOMETRY).unwrap();
        let of = |path: &str| found.iter().find(|t| t.path.ends_with(path)).unwrap();
        assert_eq!((of("layers.1.self_attn.q_proj").rank, of("layers.1.self_attn.q_proj").scale), (4, 4.0));
        assert_eq!(of("layers.2.self_attn.q_proj").rank, 2);
        assert_eq!(of("layers.11.self_attn.q_proj").rank, 2);
        assert_eq!((of("layers.2.self_attn.v_proj").rank, of("layers.2.self_attn.v_proj").scale), (8, 0.625));
    }

    /// Twelve kilobytes of configuration once took a gigabyte and a half.
    #[test]
    fn patterns_of_strangers_are_bounded() {
        let many = |count: usize, pattern: &str| {
            let pairs = vec![format!("\"{pattern}\":1"); count].join(",");
            targets(&config(r#"["q_proj"]"#, &format!(r#","rank_pattern":{{{pairs}}}"#)), &GEOMETRY)
        };
        assert_eq!(many(1000, r"\\w{18}").unwrap()[0].rank, 8);
        assert!(matches!(many(PATTERNS + 1, "q"), Err(AdapterError::Config(_))));
        assert!(matches!(many(1, r"(\\w{100}){100}"), Err(AdapterError::Config(_))));
        assert_eq!(many(1, r"layers\\.\\d+\\.(self_attn|mlp)\\.\\w+").unwrap()[0].rank, 1);
    }

    #[test]
    fn rank_stabilised_scale() {
        let found = targets(&config(r#"["q_proj"]"#, r#","use_rslora":true"#), &GEOMETRY).unwrap();
        assert_eq!(found[0].scale, 16.0 / 8f32.sqrt());
    }
}
