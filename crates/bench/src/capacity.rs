//! How many requests the stand-in answers in a second, when nothing else is to be done.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use crate::Fault;
use crate::measure::float;
use crate::process::bind;

const CONNECTIONS: usize = 4;
const REQUESTS: usize = 5_000;
/// What a claim looks like, in its size and its condition.
const CONDITION: &str = "attribute_not_exists(#id) OR #expiresAt <= :now";

/// Conditional puts from a core, each of another item.
pub(crate) fn of(address: SocketAddr, client_core: usize) -> Result<f64, Fault> {
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| thread::spawn(move || send(address, client, client_core)))
        .collect();
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    let total = u64::try_from(CONNECTIONS * REQUESTS)?;
    Ok(float(total) / started.elapsed().as_secs_f64())
}

fn send(address: SocketAddr, client: usize, core: usize) -> Result<(), Fault> {
    bind(core)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    for number in 0..REQUESTS {
        stream.write_all(request(client, number).as_bytes())?;
        // An answer to a put is far smaller than the buffer, and written at once.
        let count = stream.read(&mut answer)?;
        let text = String::from_utf8_lossy(&answer[..count]);
        if !text.starts_with("HTTP/1.1 200") {
            return Err(format!("the stand-in answered {text}").into());
        }
    }
    Ok(())
}

fn request(client: usize, number: usize) -> String {
    let body = serde_json::json!({
        "TableName": "Capacity",
        "Item": {
            "id": { "S": format!("{client}/{number}") },
            "state": { "S": "started" },
            "owner": { "S": "5520e7e7-394c-5ddd-8cf1-6d92723ea28e" },
            "fingerprint": { "S": "834451f85ec185f493627f337cc5cd0fd6a5af3563380072d91fdf342a0cec32" },
            "expiresAt": { "N": "1795283776" },
        },
        "ConditionExpression": CONDITION,
        "ExpressionAttributeNames": { "#id": "id", "#expiresAt": "expiresAt" },
        "ExpressionAttributeValues": { ":now": { "N": "1795283775" } },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
    .to_string();
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}
