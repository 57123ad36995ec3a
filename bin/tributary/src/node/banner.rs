//! What a dev node tells its user: where everything listens, and what to try.

use tributary_rpc::RpcHandle;

use super::{NodeCommand, worker::RunningWorker};

/// Prints endpoints and three commands.
pub(super) fn print(node: &NodeCommand, rpc: &RpcHandle, worker: Option<&RunningWorker>) {
    let http = rpc.http_address().map(|address| format!("http://{address}"));
    let api = worker.map(|worker| format!("http://{}", worker.address()));
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.extend(http.clone().map(|url| ("JSON-RPC", url)));
    rows.extend(rpc.ws_address().map(|address| ("WebSocket", format!("ws://{address}"))));
    rows.extend(api.clone().map(|url| ("OpenAI API", format!("{url}/v1"))));
    rows.extend(
        worker
            .map(|worker| (if worker.is_memstore() { "DA memstore" } else { "EigenDA" }, worker.da.clone())),
    );
    rows.extend(node.metrics.metrics.map(|address| ("metrics", format!("http://{address}/metrics"))));
    rows.extend(worker.map(|worker| ("operator", worker.operator.to_string())));
    println!("\n  Tributary dev chain is running.\n");
    for (name, value) in rows {
        println!("  {name:<11} {value}");
    }
    println!("\n  Try, in a second shell:\n");
    let (http, api) = (http.unwrap_or_default(), api.unwrap_or_default());
    println!("  cast block-number --rpc-url {http}");
    println!("  tributary demo --rpc {http} --api {api}");
    println!("  tributary wallet --help\n");
}
