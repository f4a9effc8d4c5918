//! nodes.conf: refused with its line, or loaded into a sound state that is saved and loaded again.

use crate::Vary;
use std::sync::LazyLock;
use tessera_cluster::{Cluster, ClusterConfig, Now};
use tessera_slot::Millis;

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let id = |byte: u8| format!("{byte:02x}").repeat(20);
    let (a, b, c, shard) = (id(1), id(2), id(3), id(9));
    [
        format!(
            "{a} 127.0.0.1:7001@17001, myself,master - 0 1700000000500 2 connected 5461-10922 12 \
             [93->-{b}] [94-<-{c}]\n\
             {b} 127.0.0.1:7000@17000,host-a master - 0 1700000000000 1 connected 0-11 13-5460\n\
             {c} 127.0.0.1:7003@17003, slave,fail? {a} 1700000000100 1700000000000 2 disconnected\n\
             vars currentEpoch 6 lastVoteEpoch 5\n"
        ),
        format!(
            "{a} fe80::1:7000@17000,h,client-ipv4=10.1.1.1,tls-port=0,nodename=a,shard-id={shard} \
             myself,slave {b} 0 0 1 connected\n\
             {b} :0@0,,tls-port=0,shard-id={shard} noaddr,master,fail - 0 0 9223372036854775807 \
             disconnected 0-16383\n\
             vars currentEpoch 1 lastVoteEpoch 0\n"
        ),
        format!("{a} :0@0 myself,master - 0 0 0 connected\nvars currentEpoch 0 lastVoteEpoch 0\n"),
    ]
    .map(String::into_bytes)
    .to_vec()
});

fn start(text: &str, seed: u64) -> Option<Cluster> {
    let now = Now { mono: Millis(1000), unix: Millis(1_700_000_000_000) };
    match Cluster::new(ClusterConfig::default(), Some(text), now, seed) {
        Ok(cluster) => Some(cluster),
        Err(error) => {
            assert!(error.line <= text.lines().count(), "{error}");
            None
        }
    }
}

/// The file that a node saves at its start.
fn saved(cluster: &mut Cluster) -> String {
    let saves = std::iter::from_fn(|| cluster.poll_batch()).filter_map(|batch| batch.save);
    saves.last().expect("a start saves the file").text
}

/// Texts that a node finds at its start.
pub fn nodes_conf_text(bytes: &[u8]) {
    let input = Vary::new(bytes).input(&VALID);
    // As the driver reads the file.
    let text = String::from_utf8_lossy(&input);
    if text.is_empty() {
        return; // as good as no file: a new node with a random name
    }
    let Some(mut first) = start(&text, 1) else { return };
    first.validate();
    let file = saved(&mut first);
    let mut second = start(&file, 2).unwrap_or_else(|| panic!("not read back:\n{file}"));
    second.validate();
    assert_eq!(first.snapshot(), second.snapshot(), "{text}\n{file}");
    assert_eq!(file, saved(&mut second));
}
