//! Status codes and bytes as they were observed on the real proxy in memstore mode.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use tributary_da::{DaBackend, DaError, Memstore, MemstoreConfig};

use crate::{client, memstore};

async fn get(store: &Memstore, path: &str) -> (StatusCode, Vec<u8>) {
    let response = Client::new().get(format!("{}{path}", store.url())).send().await.expect("answer");
    (response.status(), response.bytes().await.expect("body").to_vec())
}

async fn post(store: &Memstore, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let response =
        Client::new().post(format!("{}{path}", store.url())).body(body).send().await.expect("answer");
    (response.status(), response.bytes().await.expect("body").to_vec())
}

async fn patch(store: &Memstore, body: &str) -> (StatusCode, String) {
    let url = format!("{}memstore/config", store.url());
    let response = Client::new().patch(url).body(body.to_owned()).send().await.expect("answer");
    (response.status(), response.text().await.expect("body"))
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}

#[tokio::test]
async fn a_payload_comes_back_in_each_mode() {
    let store = memstore(MemstoreConfig::default()).await;
    let (status, standard) = post(&store, "put?commitment_mode=standard", b"hello".to_vec()).await;
    assert_eq!((status, standard[0]), (StatusCode::OK, 0x03));
    let (_, generic) = post(&store, "put", b"hello".to_vec()).await;
    assert_eq!(generic[..3], [0x01, 0x00, 0x03]);
    let (_, slash) = post(&store, "put/?commitment_mode=standard", b"hello".to_vec()).await;
    assert_eq!(slash[..3], [0x01, 0x00, 0x03], "a trailing slash gives op generic");
    assert_ne!(standard[1..], generic[3..], "two dispersals never share a certificate");

    for path in [
        format!("get/0x{}?commitment_mode=standard", hex(&standard)),
        format!("get/{}?commitment_mode=standard", hex(&standard).to_uppercase()),
        format!("get/0x{}", hex(&generic)),
        format!("get/0x01ff{}", hex(&generic[2..])),
        format!("get/0x{}?l1_inclusion_block_number=7", hex(&generic)),
    ] {
        assert_eq!(get(&store, &path).await, (StatusCode::OK, b"hello".to_vec()), "{path}");
    }
    let encoded = get(&store, &format!("get/0x{}?return_encoded_payload=1", hex(&generic))).await.1;
    assert_eq!(encoded.len(), 64);
    assert_eq!(encoded[..6], [0, 0, 0, 0, 0, 5]);
    assert_eq!(&encoded[33..38], b"hello");
}

#[tokio::test]
async fn certificates_parse_as_v4() {
    let store = memstore(MemstoreConfig::default()).await;
    let (_, commitment) = post(&store, "put?commitment_mode=standard", vec![7; 100]).await;
    let mut rest = &commitment[1..];
    let header = alloy_rlp::Header::decode(&mut rest).expect("a list");
    assert!(header.list);
    assert_eq!(header.payload_length, rest.len());
    let mut fields = 0;
    while !rest.is_empty() {
        let field = alloy_rlp::Header::decode(&mut rest).expect("a field");
        rest = &rest[field.payload_length..];
        fields += 1;
    }
    assert_eq!(fields, 5, "batch header, inclusion, non-signers, quorums, derivation version");
}

#[tokio::test]
async fn what_names_no_blob_is_answered_as_the_proxy_does() {
    let store = memstore(MemstoreConfig::default()).await;
    let (_, standard) = post(&store, "put?commitment_mode=standard", b"x".to_vec()).await;
    let cert = hex(&standard[1..]);
    let keccak = "00".repeat(32);
    for (path, status) in [
        ("get/0x010".to_owned(), 400),
        ("get/0xzz".to_owned(), 400),
        ("get/0xzz?commitment_mode=standard".to_owned(), 404),
        ("get/0x02".to_owned(), 400),
        (format!("get/0x02{cert}"), 404),
        (format!("get/0x03{cert}"), 404),
        ("get/0x03?commitment_mode=standard".to_owned(), 404),
        (format!("get/0x010004{cert}"), 400),
        (format!("get/0x04{cert}?commitment_mode=standard"), 400),
        (format!("get/0x00{cert}?commitment_mode=standard"), 500),
        (format!("get/0x01{cert}?commitment_mode=standard"), 500),
        (format!("get/0x02{cert}?commitment_mode=standard"), 418),
        ("get/0x03c0?commitment_mode=standard".to_owned(), 500),
        (format!("get/0x00{keccak}"), 500),
        ("get/0x0011".to_owned(), 404),
        (format!("get/0x03{cert}?commitment_mode=standard&l1_inclusion_block_number=x"), 400),
        ("nowhere".to_owned(), 404),
        ("put".to_owned(), 405),
    ] {
        assert_eq!(get(&store, &path).await.0.as_u16(), status, "{path}");
    }
    assert_eq!(get(&store, "health").await, (StatusCode::OK, Vec::new()));
    let hash = hex(alloy_primitives::keccak256(b"abc").as_slice());
    assert_eq!(post(&store, &format!("put/0x00{hash}"), b"abc".to_vec()).await.0.as_u16(), 500);
    assert_eq!(post(&store, &format!("put/0x00{hash}"), b"abd".to_vec()).await.0.as_u16(), 400);
}

#[tokio::test]
async fn sizes_are_limited() {
    let store = memstore(MemstoreConfig { max_blob_size: 64, ..Default::default() }).await;
    assert_eq!(post(&store, "put", vec![1; 31]).await.0, StatusCode::OK);
    let (status, text) = post(&store, "put", vec![1; 32]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("blob length 128, max blob size 64"), "{text}");
    let (status, _) = post(&store, "put", Vec::new()).await;
    assert_eq!(status, StatusCode::OK, "an empty payload is stored");
}

#[tokio::test]
async fn the_control_route_changes_what_it_says() {
    let store =
        memstore(MemstoreConfig { expiration: Duration::from_secs(1500), ..Default::default() }).await;
    let (status, text) = patch(&store, r#"{"putlatency":"5ms","Unknown":1} trailing"#).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains(r#""PutLatency":"5ms""#) && text.contains(r#""BlobExpiration":"25m0s""#), "{text}");
    assert_eq!(patch(&store, "null").await.0, StatusCode::OK);
    for bad in [r#"{"PutLatency":5}"#, "[]", "{", r#"{"NullableDerivationError":{"StatusCode":9}}"#] {
        assert_eq!(patch(&store, bad).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }

    patch(&store, r#"{"PutReturnsFailoverError":true}"#).await;
    let down = client(&store).put(b"x".to_vec().into()).await;
    assert!(matches!(down, Err(DaError::FailOver(_))), "{down:?}");
    patch(&store, r#"{"PutReturnsFailoverError":false}"#).await;

    patch(&store, r#"{"NullableDerivationError":{"StatusCode":3,"Msg":"no"}}"#).await;
    let commitment = client(&store).put(b"x".to_vec().into()).await.expect("put");
    patch(&store, r#"{"NullableDerivationError":{"Reset":true}}"#).await;
    let dropped = client(&store).get(&commitment, 100).await;
    assert_eq!(dropped, Err(DaError::Drop { code: 3, message: "no".to_owned() }));
}

#[tokio::test]
async fn blobs_expire_and_then_are_unknown() {
    let store = memstore(MemstoreConfig::default()).await;
    let da = client(&store);
    let kept = da.put(b"x".to_vec().into()).await.expect("put");
    assert!(da.get(&kept, 10).await.is_ok());
    patch(&store, r#"{"BlobExpiration":"1ms"}"#).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(matches!(da.get(&kept, 10).await, Err(DaError::Retry(_))));
}

#[tokio::test]
async fn blobs_in_a_folder_survive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let start = || {
        Memstore::start(([127, 0, 0, 1], 0).into(), Some(folder.path().to_owned()), MemstoreConfig::default())
    };
    let first = start().await.expect("starts");
    let commitment = client(&first).put(vec![9; 5000].into()).await.expect("put");
    drop(first);
    std::fs::write(folder.path().join("half.new"), b"torn").expect("a torn file");
    let second = start().await.expect("starts again");
    assert_eq!(client(&second).get(&commitment, 5000).await, Ok(vec![9; 5000].into()));
    assert!(!folder.path().join("half.new").exists());
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let store = memstore(MemstoreConfig::default()).await;
    let error = Memstore::start(store.address(), None, MemstoreConfig::default()).await.expect_err("taken");
    assert!(error.to_string().starts_with("memstore cannot listen on 127.0.0.1:"), "{error}");
}
