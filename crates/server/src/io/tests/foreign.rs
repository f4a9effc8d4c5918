//! Peers that speak another protocol, and answers that must keep their frames.

use super::{client, received, step, thread};
use std::io::Write;
use tessera_config::Config;

/// The answer to these bytes, and whether the connection has ended then.
fn answered(sent: &[u8]) -> (String, bool, Option<String>) {
    let mut thread = thread(Config::default());
    let mut far = client(&mut thread, sent);
    let (mut all, mut has_ended) = (Vec::new(), false);
    for _ in 0..3 {
        thread.pace.next_scan = tessera_slot::Millis(0);
        step(&mut thread);
        match received(&mut far) {
            Some(bytes) => all.extend(bytes),
            None => {
                has_ended = true;
                break;
            }
        }
    }
    let mut other = client(&mut thread, b"GET csrf\r\n");
    step(&mut thread);
    let found = received(&mut other).filter(|answer| answer != b"$-1\r\n");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(all), has_ended, found.map(text))
}

#[test]
fn the_body_of_an_http_request_is_not_run() {
    for head in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "post / http/1.1\r\n",
        "PoSt\r\n",
        "*1\r\n$4\r\nPOST\r\n",
        "*3\r\n$4\r\nPOST\r\n$1\r\n/\r\n$8\r\nHTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /path HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Accept: x\r\nhOsT: x\r\n",
        "*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
        "MULTI\r\nPOST / HTTP/1.1\r\n",
    ] {
        for body in [
            "SET csrf owned\r\n",
            "*3\r\n$3\r\nSET\r\n$4\r\ncsrf\r\n$5\r\nowned\r\n",
            "EXEC\r\nSET csrf owned\r\n",
        ] {
            let (answer, has_ended, found) = answered(format!("PING\r\n{head}{body}").as_bytes());
            assert_eq!(found, None, "{head}{body}");
            assert!(has_ended && answer.starts_with("+PONG\r\n"), "{head}{body}: {answer}");
        }
    }
    // A request that only looks like it is a command like any other.
    let (answer, has_ended, _) = answered(b"SET host: POST\r\nGET host:\r\nECHO HTTP/1.1\r\n");
    assert_eq!((&answer[..], has_ended), ("+OK\r\n$4\r\nPOST\r\n$8\r\nHTTP/1.1\r\n", false));
}

#[test]
fn a_tls_handshake_ends_the_connection() {
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\nSET csrf owned\r\n";
    let (answer, has_ended, found) = answered(hello);
    assert_eq!(found, None);
    assert!(has_ended);
    assert_eq!(answer, "-ERR Protocol error: TLS handshake on a port without TLS\r\n");
}

#[test]
fn client_reply_in_a_transaction_leaves_the_answer_of_exec_whole() {
    for (sent, answer) in [
        ("MULTI|CLIENT REPLY OFF|PING|EXEC|PING", "+OK +QUEUED +QUEUED *2 +OK +PONG"),
        ("MULTI|CLIENT REPLY SKIP|PING|EXEC|PING|PING", "+OK +QUEUED +QUEUED *2 +OK +PONG +PONG"),
        (
            "MULTI|PING|CLIENT REPLY OFF|CLIENT REPLY ON|EXEC|PING",
            "+OK +QUEUED +QUEUED +QUEUED *3 +PONG +OK +OK +PONG",
        ),
        ("CLIENT REPLY OFF|MULTI|PING|CLIENT REPLY ON|EXEC|PING", "*2 +PONG +OK +PONG"),
        ("CLIENT REPLY OFF|MULTI|PING|EXEC|CLIENT REPLY ON", "+OK"),
        (
            "MULTI|PING|CLIENT REPLY SKIP|EXEC|MULTI|PING",
            "+OK +QUEUED +QUEUED *2 +PONG +OK +QUEUED",
        ),
    ] {
        let mut thread = thread(Config::default());
        let mut far = client(&mut thread, b"");
        let mut all = Vec::new();
        // As one pipeline, and one by one.
        for pieces in
            [vec![sent.replace('|', "\r\n")], sent.split('|').map(str::to_owned).collect()]
        {
            for piece in pieces {
                far.write_all(format!("{piece}\r\n").as_bytes()).expect("there is room");
                step(&mut thread);
                all.extend(received(&mut far).expect("the connection is there"));
            }
            let expected: String = answer.split(' ').map(|part| format!("{part}\r\n")).collect();
            assert_eq!(String::from_utf8_lossy(&all), expected, "{sent}");
            all.clear();
            far.write_all(b"CLIENT REPLY ON\r\nDISCARD\r\n").expect("there is room");
            step(&mut thread);
            received(&mut far);
        }
    }
}

#[test]
fn connections_on_their_way_count_against_maxclients() {
    let places = std::sync::Arc::new(crate::accept::Places::default());
    let taken: Vec<_> = (0..200).filter_map(|_| places.take(20)).collect();
    assert_eq!(taken.len(), 20);
    drop(taken);
    assert!(places.take(1).is_some());
}
