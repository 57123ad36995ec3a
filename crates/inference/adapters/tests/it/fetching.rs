//! Uris of strangers.

use alloy_primitives::B256;
use axum::{
    Router,
    body::Body,
    http::{StatusCode, header},
    response::Redirect,
    routing::get,
};
use std::{
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tributary_adapters::{
    AdapterError, Artifact, Bounds, CONFIG_FILE, FetchPolicy, Fetcher, FileRoots, Severity, Source,
    TENSORS_FILE,
};
use tributary_testkit::{AdapterSpec, artifact};

fn write(folder: &Path, artifact: &Artifact) {
    std::fs::write(folder.join(CONFIG_FILE), artifact.config()).unwrap();
    std::fs::write(folder.join(TENSORS_FILE), artifact.tensors()).unwrap();
}

fn open_policy() -> FetchPolicy {
    FetchPolicy { files: FileRoots::Any, private_hosts: true, ..FetchPolicy::default() }
}

fn fetcher(policy: FetchPolicy) -> (Fetcher, TempDir) {
    let cache = tempfile::tempdir().unwrap();
    (Fetcher::new(policy, cache.path().to_owned()).unwrap(), cache)
}

fn file_source(folder: &Path, hash: B256) -> Source {
    Source { hash, uri: format!("file://{}", folder.display()) }
}

async fn server(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn files(artifact: &Artifact, hits: Arc<AtomicUsize>) -> Router {
    let (config, tensors) = (artifact.config().to_vec(), artifact.tensors().to_vec());
    Router::new().route("/some/adapter/adapter_config.json", get(async move || config.clone())).route(
        "/some/adapter/adapter_model.safetensors",
        get(async move || {
            hits.fetch_add(1, Ordering::Relaxed);
            tensors.clone()
        }),
    )
}

#[tokio::test]
async fn a_folder_of_this_machine() {
    let wanted = artifact(&AdapterSpec::new(1));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &wanted);
    let (fetcher, _cache) = fetcher(open_policy());
    assert_eq!(fetcher.fetch(&file_source(folder.path(), wanted.hash())).await, Ok(wanted.clone()));
    let other = B256::repeat_byte(1);
    let error = fetcher.fetch(&file_source(folder.path(), other)).await.unwrap_err();
    assert_eq!(error, AdapterError::Hash { expected: other, got: wanted.hash() });
    assert_eq!(error.severity(), Severity::Reject);
}

/// A pipe that nobody writes to would be waited for without end, a device read without end.
#[tokio::test]
async fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (fetcher, _cache) = fetcher(open_policy());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero"), folder.path()] {
        let uri = format!("file://{}", path.display());
        let reading =
            tokio::time::timeout(std::time::Duration::from_secs(20), fetcher.fetch_file(&uri, 1 << 20));
        let error = reading.await.expect("refused at once").unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[tokio::test]
async fn folders_outside_the_roots_are_refused() {
    let wanted = artifact(&AdapterSpec::new(1));
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(inside.path(), &wanted);
    write(outside.path(), &wanted);
    symlink(outside.path(), inside.path().join("link")).unwrap();
    let files = FileRoots::Under(vec![inside.path().to_owned()]);
    let (fetcher, _cache) = fetcher(FetchPolicy { files, ..open_policy() });
    assert!(fetcher.fetch(&file_source(inside.path(), wanted.hash())).await.is_ok());
    for path in [outside.path().to_owned(), inside.path().join("link"), inside.path().join("../..")] {
        let error = fetcher.fetch(&file_source(&path, wanted.hash())).await.unwrap_err();
        assert!(matches!(error, AdapterError::Uri { .. }), "{error}");
    }
}

/// The folder alone had been looked at: a link in it led anywhere.
#[tokio::test]
async fn files_in_a_folder_do_not_lead_out_of_the_roots() {
    let wanted = artifact(&AdapterSpec::new(1));
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(outside.path(), &wanted);
    let files = FileRoots::Under(vec![inside.path().join("absent"), inside.path().to_owned()]);
    let (confined, _cache) = fetcher(FetchPolicy { files, ..open_policy() });
    let (open, _cache) = fetcher(open_policy());
    for linked in [CONFIG_FILE, TENSORS_FILE] {
        let folder = inside.path().join(linked);
        std::fs::create_dir(&folder).unwrap();
        write(&folder, &wanted);
        std::fs::remove_file(folder.join(linked)).unwrap();
        symlink(outside.path().join(linked), folder.join(linked)).unwrap();
        let error = confined.fetch(&file_source(&folder, wanted.hash())).await.unwrap_err();
        assert!(matches!(error, AdapterError::Uri { .. }) && error.to_string().contains(linked), "{error}");
        let uri = format!("file://{}", folder.join(linked).display());
        let error = confined.fetch_file(&uri, 1 << 20).await.unwrap_err();
        assert!(matches!(error, AdapterError::Uri { .. }), "{error}");
        // Who confines nothing reads it as ever.
        assert_eq!(open.fetch(&file_source(&folder, wanted.hash())).await, Ok(wanted.clone()));
        assert!(open.fetch_file(&uri, 1 << 20).await.is_ok());
    }
}

/// `snapshots/<commit>/<file>` is a link to `../../blobs/<hash>`.
#[tokio::test]
async fn a_folder_of_hugging_faces_cache_is_read() {
    let wanted = artifact(&AdapterSpec::new(1));
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("hub/models--a--b");
    let (blobs, snapshot) = (model.join("blobs"), model.join("snapshots/0123abcd"));
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    write(&blobs, &wanted);
    for (file, blob) in [(CONFIG_FILE, "1111"), (TENSORS_FILE, "2222")] {
        std::fs::rename(blobs.join(file), blobs.join(blob)).unwrap();
        symlink(Path::new("../../blobs").join(blob), snapshot.join(file)).unwrap();
    }
    let fetch = async |root: &Path| {
        let files = FileRoots::Under(vec![root.to_owned()]);
        let (fetcher, _cache) = fetcher(FetchPolicy { files, ..open_policy() });
        fetcher.fetch(&file_source(&snapshot, wanted.hash())).await
    };
    assert_eq!(fetch(root.path()).await, Ok(wanted.clone()));
    assert_eq!(fetch(&model).await, Ok(wanted.clone()));
    let narrow = fetch(&snapshot).await.unwrap_err();
    assert!(matches!(narrow, AdapterError::Uri { .. }), "its blobs are elsewhere: {narrow}");
}

#[tokio::test]
async fn schemes_and_private_hosts_are_refused() {
    let (fetcher, _cache) = fetcher(FetchPolicy::default());
    for uri in [
        "ftp://example.org/a",
        "data:text/plain,x",
        "not a uri",
        "",
        "file:///etc",
        "file://host/share",
        "http://127.0.0.1:9/a",
        "http://[::1]/a",
        "http://169.254.169.254/latest",
        "http://2130706433/a",
    ] {
        let source = Source { hash: B256::ZERO, uri: uri.into() };
        let error = fetcher.fetch(&source).await.unwrap_err();
        assert!(matches!(error, AdapterError::Uri { .. }), "{uri}: {error}");
    }
    // A name that resolves to this machine is found out when it is resolved.
    let source = Source { hash: B256::ZERO, uri: "http://localhost:9/a".into() };
    assert!(matches!(fetcher.fetch(&source).await, Err(AdapterError::Fetch { .. })));
}

#[tokio::test]
async fn http_once_then_from_disk_even_after_a_restart() {
    let wanted = artifact(&AdapterSpec::new(2));
    let hits = Arc::new(AtomicUsize::new(0));
    let base = server(files(&wanted, Arc::clone(&hits))).await;
    let (first, cache) = fetcher(open_policy());
    for uri in [format!("{base}/some/adapter"), format!("{base}/some/adapter/")] {
        let source = Source { hash: wanted.hash(), uri };
        assert_eq!(first.fetch(&source).await, Ok(wanted.clone()));
    }
    assert_eq!(hits.load(Ordering::Relaxed), 1);
    let second = Fetcher::new(open_policy(), cache.path().to_owned()).unwrap();
    let source = Source { hash: wanted.hash(), uri: format!("{base}/gone") };
    assert_eq!(second.fetch(&source).await, Ok(wanted.clone()));
    // A damaged copy is dropped and fetched again.
    let copy = cache.path().join(format!("{:x}", wanted.hash())).join(TENSORS_FILE);
    std::fs::write(&copy, b"damaged").unwrap();
    let source = Source { hash: wanted.hash(), uri: format!("{base}/some/adapter") };
    assert_eq!(second.fetch(&source).await, Ok(wanted.clone()));
    assert_eq!(hits.load(Ordering::Relaxed), 2);
    assert_eq!(std::fs::read(copy).unwrap(), wanted.tensors());
}

#[tokio::test]
async fn the_disk_cache_keeps_its_budget() {
    let artifacts: Vec<_> = (0..4).map(|seed| artifact(&AdapterSpec::new(seed).rank(1))).collect();
    let each = (artifacts[0].config().len() + artifacts[0].tensors().len()) as u64;
    let policy = FetchPolicy { cache_bytes: each * 2 + each / 2, ..open_policy() };
    let (fetcher, cache) = fetcher(policy);
    for artifact in &artifacts {
        let base = server(files(artifact, Arc::default())).await;
        let source = Source { hash: artifact.hash(), uri: format!("{base}/some/adapter") };
        fetcher.fetch(&source).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn servers_that_misbehave() {
    let wanted = artifact(&AdapterSpec::new(3));
    let bounds = Bounds { config: 4096, tensors: 100_000, header: 4096 };
    let policy = FetchPolicy { timeout: Duration::from_millis(400), bounds, ..open_policy() };
    let (fetcher, _cache) = fetcher(policy);
    let config = wanted.config().to_vec();
    let endless = async || Body::from_stream(futures_stream(Duration::ZERO));
    let slow = async || Body::from_stream(futures_stream(Duration::from_millis(100)));
    let huge =
        async || ([(header::CONTENT_LENGTH, "999999999")], Body::from_stream(futures_stream(Duration::ZERO)));
    let base = server(
        Router::new()
            .route("/{kind}/adapter_config.json", get(async move || config.clone()))
            .route("/endless/adapter_model.safetensors", get(endless))
            .route("/slow/adapter_model.safetensors", get(slow))
            .route("/huge/adapter_model.safetensors", get(huge))
            .route("/wrong/adapter_model.safetensors", get(async || "other bytes"))
            .route("/error/adapter_model.safetensors", get(async || StatusCode::INTERNAL_SERVER_ERROR))
            .route("/moved/adapter_model.safetensors", get(async || Redirect::temporary("/wrong/x"))),
    )
    .await;
    let fetch = async |kind: &str| {
        let source = Source { hash: wanted.hash(), uri: format!("{base}/{kind}") };
        fetcher.fetch(&source).await.unwrap_err()
    };
    assert!(matches!(fetch("endless").await, AdapterError::TooLarge { .. }));
    assert!(matches!(fetch("huge").await, AdapterError::TooLarge { .. }));
    assert!(matches!(fetch("wrong").await, AdapterError::Hash { .. }));
    for kind in ["slow", "error", "moved", "absent"] {
        let error = fetch(kind).await;
        assert!(matches!(error, AdapterError::Fetch { .. }), "{kind}: {error}");
        assert_eq!(error.severity(), Severity::Retry);
    }
}

fn futures_stream(pause: Duration) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> {
    futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok(vec![0u8; 8192]), ()))
    })
}
