//! A server whose system fails it: no descriptors, no disk.

mod common;

use std::time::Duration;

use common::eventually;
use common::server::{Server, start};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Gives the server this many descriptors; what it could raise that to is the same.
fn limit_descriptors(server: &Server, limit: u64) -> Rlimit {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    let limit = Rlimit { current: Some(limit), maximum: None };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the process is ours")
}

/// How many descriptors the server has open.
fn descriptors(server: &Server) -> u64 {
    let dir = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(dir).expect("it runs").count() as u64
}

#[test]
fn without_descriptors_clients_wait_until_there_are_some() {
    let (_temp, server) = start(&[]);
    let mut first = server.wire();
    assert_eq!(first.say("PING").text(), "PONG");

    // When there is no descriptor left for a client that comes.
    let before = limit_descriptors(&server, descriptors(&server));
    let mut second = server.wire();
    second.send(b"PING\r\n").expect("the system takes it");
    let complaint = "Accepting client connection: accept: ";
    eventually("the server complains", || {
        let text = server.log_text();
        if text.contains(complaint) { Ok(()) } else { Err(text) }
    });
    for _ in 0..30 {
        assert_eq!(first.say("PING").text(), "PONG");
        std::thread::sleep(Duration::from_millis(10));
    }

    // Then that is told, not again and again, and when there are descriptors again the client is served.
    let told = server.log_text().matches(complaint).count();
    assert_eq!(told, 1, "{}", server.log_text());
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, before).expect("the process is ours");
    assert_eq!(second.answer().expect("a reply").text(), "PONG");
}
