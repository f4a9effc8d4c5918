//! A replica whose data is not whole never asks for a vote, whatever happens to it and whatever it
//! is commanded. A request may wait for the disk when the data ceases to be whole; the votes for it
//! then elect nobody.

use super::TYPE;
use crate::process::Host;
use tessera_cluster::PrimaryLink;
use tessera_cluster::bus::MessageType;

pub(crate) fn sent(bytes: &[u8], machine: &Host, seed: u64) {
    let is_request = bytes[TYPE] == (MessageType::AuthRequest as u16).to_be_bytes();
    let Some(process) = machine.process.as_ref().filter(|_| is_request) else { return };
    let (name, link) = (process.cluster.id(), process.link_at_decision);
    assert_ne!(link, PrimaryLink::Incomplete, "{name} stands with half its data, seed {seed}");
}
