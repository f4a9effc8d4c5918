//! A node as a line of CLUSTER NODES and of nodes.conf.

use crate::Now;
use crate::links::Links;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::open_slots::OpenSlots;
use std::fmt::Write;
use tessera_slot::Millis;

/// The reader of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// A client, connected over TLS or not.
    Client { tls: bool },
    /// This node after a restart: with the fields that clients are not shown.
    File,
}

/// What the lines are read from.
#[derive(Clone, Copy)]
pub(crate) struct Register<'a> {
    pub(crate) nodes: &'a Nodes,
    pub(crate) links: &'a Links,
    pub(crate) open: &'a OpenSlots,
    pub(crate) now: Now,
}

impl Register<'_> {
    /// `id ip:port@bus-port[,hostname[,name=value…]] flags primary ping pong epoch link slots…`
    pub(crate) fn line(self, node: &Node, reader: Reader) -> String {
        let is_me = node.id == self.nodes.my_id();
        let tls = reader == Reader::Client { tls: true };
        let (ip, port) = (node.ip_text(), node.address.client_port(tls));
        let mut line = format!("{} {ip}:{port}@{}", node.id, node.address.bus_port);
        push_names(&mut line, node, reader);
        let shown = |moment: Option<Millis>| moment.map_or(0, |at| self.now.unix_of(at).0);
        let primary = node.primary().map_or_else(|| "-".to_owned(), |id| id.to_string());
        let linked = is_me || self.links.to(node).is_some();
        push(&mut line, format_args!(" {} {primary}", node.flag_names(is_me)));
        let (ping, pong) =
            if is_me { (0, 0) } else { (shown(node.ping_sent), shown(node.pong_received)) };
        push(&mut line, format_args!(" {ping} {pong} {}", self.nodes.epoch_of(node.id)));
        line.push_str(if linked { " connected" } else { " disconnected" });
        for range in node.slots.ranges() {
            push(&mut line, format_args!(" {range}"));
        }
        if is_me {
            for (slot, to) in self.open.migrating() {
                push(&mut line, format_args!(" [{slot}->-{to}]"));
            }
            for (slot, from) in self.open.importing() {
                push(&mut line, format_args!(" [{slot}-<-{from}]"));
            }
        }
        line
    }
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("writing to a string does not fail");
}

fn push_names(line: &mut String, node: &Node, reader: Reader) {
    if !node.hostname.is_empty() || reader == Reader::File {
        push(line, format_args!(",{}", node.hostname));
    }
    if reader != Reader::File {
        return;
    }
    push(line, format_args!(",tls-port={}", node.address.tls_port));
    if !node.human_name.is_empty() {
        push(line, format_args!(",nodename={}", node.human_name));
    }
    push(line, format_args!(",shard-id={}", node.shard.0));
}
