//! What the core wants is carried out: nodes.conf is written, then the effects of the batch follow.

use crate::net::{self, HostId};
use crate::process::SaveFault;
use crate::world::{Happening, MONO_START, World};
use tessera_cluster::{Batch, ClusterState, Effect, Event, LogLevel, PrimaryLink};
use tessera_slot::{Offset, SlotSet};

impl World {
    pub(crate) fn carry_out(&mut self, host: HostId) {
        loop {
            let disk_delay = self.hosts[host].disk_delay;
            let Some(process) = &mut self.hosts[host].process else { return };
            if process.saving.is_some() {
                return;
            }
            let Some(batch) = process.cluster.poll_batch() else { break };
            process.link_at_decision = process.primary_link;
            let waits = disk_delay > 0 && batch.save.as_ref().is_some_and(|save| save.durable);
            if waits {
                process.saving = Some(batch);
                let generation = self.hosts[host].generation;
                let at = self.now + disk_delay;
                return self.schedule(at, host, generation, Happening::Saved);
            }
            self.finish(host, batch);
        }
        self.invariants.after_step(host, &self.hosts[host], self.now, self.seed);
        let generation = self.hosts[host].generation;
        let Some(process) = &self.hosts[host].process else { return };
        let due = process.cluster.next_timeout().0 - MONO_START;
        if due < process.tick_at {
            self.schedule_tick(host, generation, due);
        }
    }

    /// Whether events pile up.
    pub(crate) fn is_busy(&self, host: HostId) -> bool {
        let machine = &self.hosts[host];
        machine.paused || machine.process.as_ref().is_some_and(|process| process.saving.is_some())
    }

    pub(crate) fn saved(&mut self, host: HostId) {
        let machine = &mut self.hosts[host];
        if machine.paused {
            let (at, generation) = (self.now + 10, machine.generation);
            return self.schedule(at, host, generation, Happening::Saved);
        }
        let Some(batch) = machine.process.as_mut().and_then(|process| process.saving.take()) else {
            return;
        };
        self.finish(host, batch);
        self.carry_out(host);
        for event in std::mem::take(&mut self.hosts[host].inbox) {
            self.deliver(host, event);
        }
    }

    fn finish(&mut self, host: HostId, batch: Batch) {
        if self.save(host, &batch) {
            for effect in batch.then {
                self.effect(host, effect);
            }
        }
    }

    /// Writes nodes.conf; false if the process has died over it.
    fn save(&mut self, host: HostId, batch: &Batch) -> bool {
        let Some(save) = &batch.save else { return true };
        let fault = if save.durable { self.hosts[host].save_fault.take() } else { None };
        if fault == Some(SaveFault::Before) {
            self.kill(host);
            return false;
        }
        let disk = &mut self.hosts[host].disk;
        disk.file = Some(save.text.clone());
        if save.durable {
            disk.synced = Some(save.text.clone());
            self.invariants.saved_durably(host, &self.hosts[host]);
        }
        if fault == Some(SaveFault::After) {
            self.kill(host);
            return false;
        }
        true
    }

    /// The core learns something from another thread than the one that may wait for the disk.
    pub(crate) fn tell_at_once(&mut self, host: HostId, event: Event) {
        let now = self.clock(host);
        if let Some(process) = &mut self.hosts[host].process {
            process.cluster.handle(now, event);
            self.carry_out(host);
        }
    }

    fn effect(&mut self, host: HostId, effect: Effect) {
        let has_data = self.data.is_some();
        match effect {
            Effect::OpenLink { link, addr } => self.open(self.end(host, link), addr),
            Effect::CloseLink { link } => self.close(self.end(host, link)),
            Effect::Send { link, bytes } => {
                self.invariants.sent(&bytes, &self.hosts[host], self.seed);
                self.send(self.end(host, link), bytes);
            }
            Effect::Follow { host: ip, .. } => {
                self.data_effect(host, &effect);
                self.follow(host, net::host_at(ip));
            }
            Effect::Routing(ref view) => {
                self.data_effect(host, &effect);
                let Some(process) = &mut self.hosts[host].process else { return };
                let is_primary = view.my_primary().is_none();
                process.serves = if view.state == ClusterState::Ok && is_primary {
                    process.cluster.claims().slots.clone()
                } else {
                    SlotSet::EMPTY
                };
            }
            Effect::Promote => {
                self.invariants.promoted(host, &self.hosts, self.now, self.seed);
                if has_data {
                    self.data_effect(host, &Effect::Promote);
                }
                if let Some(process) = &mut self.hosts[host].process {
                    process.following = None;
                    // From here on the data does not change.
                    if process.primary_link == PrimaryLink::Incomplete {
                        process.primary_link = PrimaryLink::Down { since: None };
                    }
                }
            }
            Effect::PauseWrites { .. } if !has_data => {
                let Some(process) = &mut self.hosts[host].process else { return };
                process.writes_paused = true;
                let offset = Offset(process.offset);
                let generation = self.hosts[host].generation;
                let event = Event::WritesPaused { offset };
                self.schedule(self.now + 1, host, generation, Happening::Event(event));
            }
            Effect::ResumeWrites if !has_data => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.writes_paused = false;
                }
            }
            Effect::Log { level, text, .. } if level >= LogLevel::Notice => {
                self.log.push((self.now, host, text));
            }
            Effect::SetSlots(_)
            | Effect::DropKeys(_)
            | Effect::DropAllKeys
            | Effect::PauseWrites { .. }
            | Effect::ResumeWrites => self.data_effect(host, &effect),
            _ => {}
        }
    }
}
