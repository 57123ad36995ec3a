use crate::support::*;
use std::time::{Duration, Instant};
use tributary_da::certificate::{VERSION_V4, outline};
use tributary_da::memstore::{GoDuration, Memstore, MemstoreConfig};

async fn put(store: &Memstore, body: &[u8]) -> String {
    let (status, commitment) = call(store, "POST", "/put?commitment_mode=standard", body).await;
    assert_eq!(status, 200);
    hex::encode(commitment)
}

async fn get(store: &Memstore, commitment: &str) -> (u16, Vec<u8>) {
    call(store, "GET", &format!("/get/0x{commitment}?commitment_mode=standard"), "").await
}

async fn patch(store: &Memstore, body: &str) -> (u16, String) {
    let (status, body) = call(store, "PATCH", "/memstore/config", body).await;
    (status, text(&body))
}

#[tokio::test]
async fn both_modes_give_back_what_was_put() {
    let store = started().await;
    for (route, head, mode) in [
        ("/put?commitment_mode=standard", &[3u8][..], "?commitment_mode=standard"),
        ("/put", &[1, 0, 3], ""),
        ("/put/", &[1, 0, 3], ""),
        ("/put/?commitment_mode=standard", &[1, 0, 3], ""),
        ("/put?commitment_mode=Standard", &[1, 0, 3], ""),
    ] {
        let (status, commitment) = call(&store, "POST", route, "hello world payload").await;
        assert_eq!((status, &commitment[..head.len()]), (200, head), "{route}");
        let certificate = outline(VERSION_V4, &commitment[head.len()..]).expect("a V4 certificate");
        assert_eq!(certificate.symbols, 2);
        assert!(certificate.reference_block >= 4_294_967_200);
        assert!((330..470).contains(&commitment.len()), "{}", commitment.len());
        let digits = hex::encode(&commitment);
        for path in [format!("/get/0x{digits}{mode}"), format!("/get/{}{mode}", digits.to_uppercase())] {
            assert_eq!(call(&store, "GET", &path, "").await, (200, b"hello world payload".to_vec()));
        }
    }
    let first = put(&store, b"same").await;
    assert_ne!(first, put(&store, b"same").await);
    let empty = put(&store, b"").await;
    assert_eq!(get(&store, &empty).await, (200, Vec::new()));
}

#[tokio::test]
async fn bad_paths_have_the_originals_statuses() {
    let store = started().await;
    let rlp = put(&store, b"payload").await[2..].to_owned();
    for (path, status) in [
        (format!("/get/0x01ff03{rlp}"), 200),
        (format!("/get/0x010003{}", &rlp[1..]), 400),
        ("/get/0x010003zz".to_owned(), 400),
        ("/get/0x03zz?commitment_mode=standard".to_owned(), 404),
        (format!("/get/0x010004{rlp}"), 400),
        (format!("/get/0x010000{rlp}"), 500),
        (format!("/get/0x010001{rlp}"), 500),
        (format!("/get/0x010002{rlp}"), 418),
        ("/get/0x02".to_owned(), 400),
        (format!("/get/0x0200{rlp}"), 404),
        (format!("/get/0x03{rlp}"), 404),
        ("/get/0x010003".to_owned(), 404),
        ("/get/0x00abcd".to_owned(), 404),
        (format!("/get/0x00{}", "ab".repeat(32)), 500),
        (format!("/get/0x010003{rlp}?l1_inclusion_block_number=abc"), 400),
        (format!("/get/0x010003{rlp}?l1_inclusion_block_number="), 200),
        (format!("/get/0x010003{rlp}?l1_inclusion_block_number=0"), 200),
        (format!("/get/0x010003{rlp}?l1_inclusion_block_number=22000000"), 200),
        (format!("/get/0x010003{rlp}?l1_inclusion_block_number=4294999999"), 418),
        ("/get/0x010003c0c0".to_owned(), 500),
        ("/nowhere".to_owned(), 404),
    ] {
        let (got, body) = call(&store, "GET", &path, "").await;
        assert_eq!(got, status, "{path}: {}", text(&body));
    }
    assert_eq!(call(&store, "GET", "/put", "").await.0, 405);
    assert_eq!(call(&store, "DELETE", "/health", "").await.0, 405);
    assert_eq!(call(&store, "GET", "/health", "").await, (200, Vec::new()));
}

#[tokio::test]
async fn keccak_commitments_need_a_store_that_is_not_here() {
    let store = started().await;
    let key = hex::encode(alloy_primitives::keccak256(b"body"));
    assert_eq!(call(&store, "POST", &format!("/put/0x00{key}"), "body").await.0, 500);
    assert_eq!(call(&store, "POST", &format!("/put/00{key}"), "other").await.0, 400);
    assert_eq!(call(&store, "POST", "/put/0x00abcd", "body").await.0, 404);
}

#[tokio::test]
async fn the_encoded_payload_is_what_stands_in_the_blob() {
    let store = started().await;
    let payload: Vec<u8> = (1..=40).collect();
    let commitment = put(&store, &payload).await;
    let path = format!("/get/{commitment}?commitment_mode=standard&return_encoded_payload=TRUE");
    let (status, encoded) = call(&store, "GET", &path, "").await;
    assert_eq!((status, encoded.len()), (200, 128));
    assert_eq!(encoded[..7], [0, 0, 0, 0, 0, 40, 0]);
    assert_eq!(encoded[32], 0);
    assert_eq!(encoded[33..64], payload[..31]);
    assert_eq!(encoded[64..74], [0, 32, 33, 34, 35, 36, 37, 38, 39, 40]);
    assert!(encoded[74..].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn payloads_above_the_largest_blob_are_refused() {
    let store = started().await;
    let (_, config) = call(&store, "GET", "/config", "").await;
    assert!(text(&config).contains(r#""max_payload_size_bytes":16252897"#));
    assert_eq!(call(&store, "POST", "/put", vec![1; 16_252_898]).await.0, 400);
    assert_eq!(call(&store, "POST", "/put", vec![1; 16_777_217]).await.0, 400);
    assert_eq!(patch(&store, r#"{"MaxBlobSizeBytes":64}"#).await.0, 200);
    assert_eq!(call(&store, "POST", "/put", vec![1; 31]).await.0, 200);
    let (status, body) = call(&store, "POST", "/put", vec![1; 32]).await;
    assert_eq!(status, 400);
    assert!(text(&body).contains("blob length 128, max blob size 64"));
}

#[tokio::test]
async fn the_configuration_is_read_and_patched_as_in_the_original() {
    let config = MemstoreConfig { expiration: GoDuration::from_secs(1_500), ..MemstoreConfig::default() };
    let store = start(None, config).await;
    let initial = "{\"MaxBlobSizeBytes\":16777216,\"BlobExpiration\":\"25m0s\",\"PutLatency\":\"0s\",\
                   \"GetLatency\":\"0s\",\"PutReturnsFailoverError\":false,\
                   \"OverwritePutWithDerivationError\":null,\"CertVersion\":0}\n";
    assert_eq!(text(&call(&store, "GET", "/memstore/config", "").await.1), initial);
    for ignored in ["{}", "null", r#"{"Unknown":1}"#, "{} and more"] {
        assert_eq!(patch(&store, ignored).await, (200, initial.to_owned()), "{ignored}");
    }
    let (status, body) = patch(&store, r#"{"putlatency":"-1s","GETLATENCY":"1.5s"}"#).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""PutLatency":"-1s","GetLatency":"1.5s""#));
    for wrong in [r#"{"PutLatency":5}"#, r#"{"PutLatency":"5"}"#, "[]", "", r#"{"MaxBlobSizeBytes":"1"}"#] {
        assert_eq!(patch(&store, wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(patch(&store, r#"{"MaxBlobSizeBytes":32,"GetLatency":"x"}"#).await.0, 400);
    assert!(text(&call(&store, "GET", "/memstore/config", "").await.1).contains(r#""MaxBlobSizeBytes":32"#));
    for wrong in [0, 5, 300] {
        let body = format!(r#"{{"NullableDerivationError":{{"StatusCode":{wrong},"Msg":"x"}}}}"#);
        assert_eq!(patch(&store, &body).await.0, 400);
    }
}

#[tokio::test]
async fn a_derivation_error_stays_with_what_was_put_under_it() {
    let store = started().await;
    let before = put(&store, b"before").await;
    let body = r#"{"NullableDerivationError":{"StatusCode":3,"Msg":"a<b","Reset":false}}"#;
    let (_, config) = patch(&store, body).await;
    assert!(config.contains(r#""OverwritePutWithDerivationError":{"#));
    let during = put(&store, b"during").await;
    patch(&store, r#"{"NullableDerivationError":{"Reset":true}}"#).await;
    let (status, body) = get(&store, &during).await;
    assert_eq!(status, 418);
    assert!(text(&body).contains(r#"a\u003cb"#) && text(&body).contains(r#""StatusCode":3"#));
    assert_eq!(get(&store, &before).await.0, 200);
    let after = put(&store, b"after").await;
    assert_eq!(get(&store, &after).await.0, 200);
}

#[tokio::test]
async fn failover_answers_at_once_and_gets_go_on() {
    let store = started().await;
    let commitment = put(&store, b"payload").await;
    patch(&store, r#"{"PutReturnsFailoverError":true,"PutLatency":"1h"}"#).await;
    let (status, body) = call(&store, "POST", "/put", "x").await;
    assert_eq!(status, 503);
    assert!(text(&body).contains("failover simulation mode"));
    assert_eq!(get(&store, &commitment).await.0, 200);
}

#[tokio::test]
async fn latencies_delay_answers() {
    let store = started().await;
    patch(&store, r#"{"PutLatency":"120ms","GetLatency":"80ms"}"#).await;
    let begun = Instant::now();
    let commitment = put(&store, b"payload").await;
    assert!(begun.elapsed() >= Duration::from_millis(120));
    let begun = Instant::now();
    assert_eq!(get(&store, &commitment).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(80));
}

/// Waits until a blob is gone, which a sweeper does twice a second.
async fn gone(store: &Memstore, commitment: &str) {
    for _ in 0..100 {
        if get(store, commitment).await.0 == 500 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the blob does not expire");
}

#[tokio::test]
async fn blobs_expire_by_the_expiration_in_force() {
    let store = started().await;
    let old = put(&store, b"old").await;
    patch(&store, r#"{"BlobExpiration":"0s"}"#).await;
    let kept = put(&store, b"kept").await;
    gone(&store, &old).await;
    patch(&store, r#"{"BlobExpiration":"1ms"}"#).await;
    let short = put(&store, b"short").await;
    gone(&store, &short).await;
    assert_eq!(get(&store, &kept).await.0, 200);
}

#[tokio::test]
async fn blobs_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = || Some(folder.path().to_owned());
    let store = start(at(), MemstoreConfig::default()).await;
    let commitment = put(&store, b"survivor").await;
    patch(&store, r#"{"NullableDerivationError":{"StatusCode":4,"Msg":"gone"}}"#).await;
    let failed = put(&store, b"failed").await;
    store.stop().await;
    std::fs::write(folder.path().join(format!("{}.blob", "00".repeat(32))), b"rubbish").expect("writing");
    let store = start(at(), MemstoreConfig::default()).await;
    assert_eq!(get(&store, &commitment).await, (200, b"survivor".to_vec()));
    assert_eq!(get(&store, &failed).await.0, 418);
    patch(&store, r#"{"BlobExpiration":"0s"}"#).await;
    gone(&store, &commitment).await;
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "only the file that is no blob");
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let store = started().await;
    let again = Memstore::start(store.address(), None, MemstoreConfig::default()).await;
    assert!(matches!(again, Err(tributary_da::DaError::Memstore(_))));
}
