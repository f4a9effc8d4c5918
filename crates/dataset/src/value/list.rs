//! Lists: the nodes of a quicklist, of which a small list has one.

use super::{Refused, listpack};
use tessera_collections::{Collection, List, ListBuilder, ListLimits, NodeRef};
use tessera_rdb::Encoder;
use tessera_rdb::value::{List as RdbList, ListNode};

pub(super) fn encode(list: &List, encoder: &mut Encoder<'_>) {
    match list {
        List::Packed(listpack) => {
            encoder.length(1);
            put_node(NodeRef::Packed(listpack), encoder);
        }
        List::Quick(list) => {
            encoder.length(list.nodes() as u64);
            list.visit_nodes(|node| put_node(node, encoder));
        }
    }
}

pub(super) fn put_node(node: NodeRef<'_>, encoder: &mut Encoder<'_>) {
    match node {
        NodeRef::Packed(listpack) => {
            encoder.packed_node();
            encoder.string(listpack.as_bytes());
        }
        NodeRef::Plain(text) => {
            encoder.plain_node();
            encoder.string(text);
        }
    }
}

pub(super) fn take_in(list: RdbList, limits: ListLimits) -> Result<List, Refused> {
    let mut builder = ListBuilder::new(limits);
    match list {
        RdbList::Elements(elements) => {
            let mut elements = elements.into_reader();
            while let Some(element) = elements.next_string() {
                builder.push(element);
            }
        }
        RdbList::Nodes(nodes) => {
            for node in nodes {
                match node {
                    ListNode::Plain(text) if text.is_empty() => {
                        return Err(Refused::Corrupt("a node of a list without bytes"));
                    }
                    ListNode::Plain(text) => builder.push_plain(&text),
                    ListNode::Packed(bytes) => builder.push_packed(listpack(&bytes)?),
                }
            }
        }
    }
    let list = builder.finish();
    if list.is_empty() { Err(Refused::Empty) } else { Ok(list) }
}
