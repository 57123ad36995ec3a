//! Every kernel through the real compiler, for each architecture, warnings as errors.

use std::{collections::BTreeSet, path::PathBuf};
use tributary_cuda::{
    DeviceError, Nvrtc, Tier,
    launch::Kernel,
    sources::{SOURCES, digest},
};

/// Where `make setup` puts NVRTC, or what `TRIBUTARY_NVRTC` names.
fn nvrtc() -> Nvrtc {
    let path = std::env::var_os("TRIBUTARY_NVRTC").map(PathBuf::from).or_else(installed);
    Nvrtc::open(Some(&path.expect("NVRTC in the tests' virtual environment; make setup installs it")))
        .unwrap()
}

fn installed() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let pythons = std::fs::read_dir(cache.join("tributary/venv/lib")).ok()?.flatten();
    let library = |python: std::fs::DirEntry| {
        let path = python.path().join("site-packages/nvidia/cu13/lib/libnvrtc.so.13");
        path.exists().then_some(path)
    };
    pythons.into_iter().find_map(library)
}

/// PTX of every kernel: it is all there, and rounds as the profile says.
fn check(arch: &str) {
    let nvrtc = nvrtc();
    let tiers = Tier::ALL.into_iter().filter(|tier| tier.check(capability(arch)).is_ok());
    let sources: BTreeSet<usize> = tiers.flat_map(|tier| tier.sources()).copied().collect();
    assert_eq!(sources.len(), if arch == "compute_80" { SOURCES.len() - 1 } else { SOURCES.len() });
    for index in sources {
        let source = &SOURCES[index];
        let ptx = String::from_utf8(nvrtc.compile(source, arch).unwrap()).unwrap();
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.source() == index) {
            assert!(ptx.contains(&format!(".entry {}(", kernel.name())), "{} for {arch}", kernel.name());
        }
        for loose in
            [".ftz", "div.full", ".approx", "mad.f32", "add.f32", "mul.f32", "sub.f32", "atom.global.add.f32"]
        {
            assert!(!ptx.contains(loose), "{} has {loose} for {arch}", source.0);
        }
    }
}

fn capability(arch: &str) -> (i32, i32) {
    let number: i32 = arch.trim_start_matches("compute_").parse().unwrap();
    (number / 10, number % 10)
}

#[test]
fn ampere() {
    check("compute_80");
}

#[test]
fn ada() {
    check("compute_89");
}

#[test]
fn hopper() {
    check("compute_90");
}

#[test]
fn blackwell() {
    check("compute_100");
}

/// As a Hopper device is served: finished code.
#[test]
fn hopper_machine_code() {
    let nvrtc = nvrtc();
    assert!(nvrtc.architectures().unwrap().contains(&90));
    for source in &SOURCES {
        let cubin = nvrtc.compile(source, "sm_90").unwrap();
        assert_eq!(&cubin[..4], b"\x7fELF", "{}", source.0);
    }
}

#[test]
fn what_does_not_compile_is_reported_with_the_compilers_words() {
    let nvrtc = nvrtc();
    let broken =
        ("broken.cu", "#include \"params.cuh\"\nKERNEL(broken, EmbedParams, 32) { u32 unused = nothing; }");
    match nvrtc.compile(&broken, "compute_90") {
        Err(DeviceError::Compile { source_file: "broken.cu", log, .. }) => {
            assert!(log.contains("nothing"), "{log}")
        }
        other => panic!("{other:?}"),
    }
    let careless = (
        "careless.cu",
        "#include \"params.cuh\"\nKERNEL(careless, EmbedParams, 32) { u32 unused = p.width; }",
    );
    let refused = matches!(nvrtc.compile(&careless, "compute_90"), Err(DeviceError::Compile { .. }));
    assert_eq!(refused, nvrtc.version().0 >= 13, "warnings are errors to compilers that know how");
    assert_ne!(digest(&broken), digest(&careless));
}
