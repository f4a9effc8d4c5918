//! Clients on several threads at once.

mod harness;

use harness::Client;

const THREADS: usize = 4;
const ROUNDS: usize = 2_000;

#[test]
fn no_update_is_lost_while_others_want_many_slots_or_the_world() {
    let client = Client::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut client = client.another();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    client.run("incr shared");
                    client.run(&format!("mset a{round} 1 b{thread} 2 c{round} 3"));
                    client.run(&format!("msetnx c{round} 1 b{thread} 2 a{round} 3"));
                    match round % 50 {
                        0 => drop(client.run("swapdb 1 2")),
                        1 => drop(client.run("dbsize")),
                        2 => drop(client.run(&format!("rename b{thread} a{round}"))),
                        _ => {}
                    }
                }
            });
        }
    });
    let mut client = client;
    assert_eq!(client.run("get shared"), format!("$4|{}", THREADS * ROUNDS));
}
