//! The cluster as a node describes it (CLUSTER NODES).

/// A node, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNode {
    /// Its id, 40 hexadecimal digits.
    pub id: String,
    /// Its port for clients.
    pub port: u16,
    /// Whether it is the node that was asked.
    pub myself: bool,
    /// The id of the primary that it follows; `None` for a primary.
    pub primary: Option<String>,
    /// Whether it is taken for failed by all (`fail`) or suspected (`fail?`).
    pub failing: bool,
    /// Whether it has not yet introduced itself.
    pub handshake: bool,
    /// Whether the node that was asked is connected to it.
    pub linked: bool,
    /// First and last slots of the ranges that it serves.
    pub ranges: Vec<(u16, u16)>,
}

/// Reads the answer to CLUSTER NODES; `None` if it has another form.
///
/// A line: `id ip:port@bus[,hostname] flags primary|- ping pong epoch link [range…]`. Slots that
/// migrate stand in brackets and are passed over.
pub fn parse_nodes(text: &str) -> Option<Vec<SeenNode>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(parse_node).collect()
}

fn parse_node(line: &str) -> Option<SeenNode> {
    let mut fields = line.split_ascii_whitespace();
    let id = fields.next()?.to_owned();
    let address = fields.next()?.split(['@', ',']).next()?;
    let port = address.rsplit_once(':')?.1.parse().ok()?;
    let flags: Vec<&str> = fields.next()?.split(',').collect();
    let primary = Some(fields.next()?).filter(|id| *id != "-").map(str::to_owned);
    let linked = fields.nth(3)? == "connected";
    let has = |flag: &str| flags.contains(&flag);
    Some(SeenNode {
        id,
        port,
        myself: has("myself"),
        primary,
        failing: has("fail") || has("fail?"),
        handshake: has("handshake"),
        linked: linked || has("myself"),
        ranges: fields
            .filter(|field| !field.starts_with('['))
            .map(parse_range)
            .collect::<Option<_>>()?,
    })
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A primary with slots, and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// First and last slots of its ranges.
    pub ranges: Vec<(u16, u16)>,
    /// The primary's port.
    pub primary: u16,
    /// The replicas' ports, ascending.
    pub replicas: Vec<u16>,
}

/// The shards among the nodes, by their first slot.
pub fn shards(nodes: &[SeenNode]) -> Vec<Shard> {
    let serving = |node: &&SeenNode| node.primary.is_none() && !node.ranges.is_empty();
    let mut shards: Vec<Shard> =
        nodes.iter().filter(serving).map(|node| shard(node, nodes)).collect();
    shards.sort_by_key(|shard| shard.ranges[0]);
    shards
}

fn shard(primary: &SeenNode, nodes: &[SeenNode]) -> Shard {
    let follows = |node: &&SeenNode| node.primary.as_deref() == Some(primary.id.as_str());
    let mut replicas: Vec<u16> = nodes.iter().filter(follows).map(|node| node.port).collect();
    replicas.sort_unstable();
    Shard { ranges: primary.ranges.clone(), primary: primary.port, replicas }
}

/// Ranges as people write them.
pub(crate) fn show_ranges(ranges: &[(u16, u16)]) -> String {
    let show = |&(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// The shards as a table, indented by two.
pub(crate) fn show_shards(shards: &[Shard]) -> String {
    let mut text = String::new();
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let slots: Vec<String> = shards.iter().map(|shard| show_ranges(&shard.ranges)).collect();
    let width = slots.iter().map(String::len).max().unwrap_or(0).max("slots".len());
    text.push_str(&format!("  shard  {:<width$}  primary  replicas\n", "slots"));
    for (at, (shard, slots)) in shards.iter().zip(&slots).enumerate() {
        let (number, primary) = (at + 1, shard.primary);
        let replicas = ports(&shard.replicas);
        let line = format!("  {number:<5}  {slots:<width$}  {primary:<7}  {replicas}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
aaa 127.0.0.1:7001@17001 master - 0 1700000000000 2 connected 5461-10922 [93->-bbb]
bbb 127.0.0.1:7000@17000,host,shard-id=1 myself,master - 0 0 1 connected 0-5459 5460
ccc 127.0.0.1:7003@17003 slave bbb 0 1700000000000 1 connected
ddd 127.0.0.1:7004@17004 slave,fail? aaa 5 1700000000000 2 disconnected
eee :0@0 master,noaddr,fail - 0 0 3 disconnected
";

    #[test]
    fn nodes_and_shards() {
        let nodes = parse_nodes(NODES).expect("five nodes");
        assert_eq!(nodes.len(), 5);
        assert!(nodes[1].myself && nodes[1].linked && nodes[1].primary.is_none());
        assert_eq!(nodes[1].ranges, [(0, 5459), (5460, 5460)]);
        assert!(nodes[3].failing && !nodes[3].linked);
        let shards = shards(&nodes);
        assert_eq!(
            show_shards(&shards),
            "  shard  slots         primary  replicas\n\
             \x20 1      0-5459, 5460  7000     7003\n\
             \x20 2      5461-10922    7001     7004\n"
        );
        assert_eq!(parse_nodes("nonsense"), None);
        assert_eq!(parse_nodes(""), Some(vec![]));
    }
}
