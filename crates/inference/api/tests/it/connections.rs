//! Clients that hold connections.

use crate::server::{Options, Server};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tributary_api::ApiConfig;

const HALF: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\nX-Rest: ";
const WHOLE: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
const MODELS: &[u8] = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

async fn connect(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// All that is answered until the server hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    end.await.expect("the server hangs up").ok();
    String::from_utf8(bytes).unwrap()
}

async fn patient_for(header_timeout: Duration, connections: usize) -> Server {
    let api = ApiConfig { header_timeout, connections, ..ApiConfig::default() };
    Server::start(Options { api, ..Options::default() }).await
}

/// A thousand half-sent requests once took every file descriptor of the process.
#[tokio::test]
async fn half_a_request_and_silence_are_hung_up_on() {
    let server = patient_for(Duration::from_millis(300), 64).await;
    assert_eq!(rest(connect(&server, HALF).await).await.matches("200 OK").count(), 0);
    assert_eq!(rest(connect(&server, b"").await).await.matches("200 OK").count(), 0);
    assert_eq!(rest(connect(&server, WHOLE).await).await.matches("200 OK").count(), 1);
    assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn more_connections_than_places_wait() {
    let server = patient_for(Duration::from_secs(2), 2).await;
    let (_one, _two) = (connect(&server, HALF).await, connect(&server, HALF).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut third = connect(&server, MODELS).await;
    let mut byte = [0];
    let early = timeout(Duration::from_millis(500), third.read(&mut byte)).await;
    assert!(early.is_err(), "no place is free");
    assert!(rest(third).await.contains("200 OK"));
}

/// A full node once looked like a dead one.
#[tokio::test]
async fn a_full_node_is_seen_to_live() {
    let server = patient_for(Duration::from_secs(60), 1).await;
    let held = connect(&server, HALF).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // More than there are places at the door, and none that is kept.
    for _ in 0..40 {
        let answer = rest(connect(&server, WHOLE).await).await;
        assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
    }
    let waiting: Vec<TcpStream> = futures::future::join_all((0..64).map(|_| connect(&server, MODELS))).await;
    // Silence at the door ends soon, whatever time others have.
    let silent = futures::future::join_all((0..20).map(|_| connect(&server, b""))).await;
    assert!(rest(connect(&server, WHOLE).await).await.contains("200 OK"));
    let late = rest(connect(&server, MODELS).await).await;
    assert!(late.contains("503 Service Unavailable") && late.contains("retry-after: 1"), "{late}");
    assert!(late.contains("x-request-id: req-"), "{late}");
    drop((held, silent));
    for stream in waiting {
        assert!(rest(stream).await.contains("200 OK"));
    }
}

/// Its connection's place was kept for as long as a byte came now and then.
#[tokio::test]
async fn a_body_in_drips_is_answered_and_hung_up_on() {
    let api = ApiConfig { body_timeout: Duration::from_millis(500), ..ApiConfig::default() };
    let server = Server::start(Options { api, ..Options::default() }).await;
    let head = b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    let (answers, mut body) = connect(&server, head).await.into_split();
    let drip = tokio::spawn(async move {
        while body.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        body
    });
    let answer = timeout(Duration::from_secs(20), async {
        let (mut answers, mut answer) = (answers, [0; 12]);
        answers.read_exact(&mut answer).await.unwrap();
        (answer, answers)
    });
    let (status, _answers) = answer.await.expect("it is answered");
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 408");
    timeout(Duration::from_secs(20), drip).await.expect("the connection is closed").unwrap();
}

/// Two clients that asked for much and read nothing once kept everybody out for as long as they liked.
#[tokio::test]
async fn who_reads_nothing_is_hung_up_on() {
    let unread_timeout = Duration::from_secs(1);
    let api = ApiConfig { connections: 1, unread_timeout, ..ApiConfig::default() };
    let server = Server::start(Options { api, ..Options::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let address = server.url.trim_start_matches("http://").parse().unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    // Until the server stops reading, because its answers are not read.
    while let Ok(written) = timeout(Duration::from_secs(1), deaf.write_all(&ask)).await {
        if written.is_err() {
            break;
        }
    }
    let next = rest(connect(&server, MODELS).await);
    assert!(next.await.contains("200 OK"), "the place is free again");
}
