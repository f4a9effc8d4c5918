//! The choice of the key to evict: the best of a few random ones, and of those that were drawn
//! before.

use std::collections::VecDeque;
use tessera_config::table::memory::{MaxmemoryPolicy, Memory};
use tessera_slot::Millis;
use tessera_store::{Among, Entry, Lfu, Survey, World};

/// Candidates that are remembered, as in Redis.
const CANDIDATES: usize = 16;
/// How old a survey of the slots may be, ms.
const SURVEY_AGE: u64 = 1000;
/// Draws without a key after which the slots are surveyed anew, this time exactly; so many again
/// and the matter rests.
const DRAWS_IN_VAIN: u32 = 64;

/// By what keys are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Idleness,
    Frequency,
    Expiry,
    Chance,
}

/// The policy, by `maxmemory-policy` and `maxmemory-samples`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Policy {
    among: Among,
    by: By,
    samples: usize,
}

impl Policy {
    /// `None`: nothing is evicted.
    pub(super) fn of(memory: &Memory) -> Option<Policy> {
        let (among, by) = match memory.maxmemory_policy {
            MaxmemoryPolicy::Noeviction => return None,
            MaxmemoryPolicy::AllkeysLru => (Among::All, By::Idleness),
            MaxmemoryPolicy::AllkeysLfu => (Among::All, By::Frequency),
            MaxmemoryPolicy::AllkeysRandom => (Among::All, By::Chance),
            MaxmemoryPolicy::VolatileLru => (Among::Expiring, By::Idleness),
            MaxmemoryPolicy::VolatileLfu => (Among::Expiring, By::Frequency),
            MaxmemoryPolicy::VolatileRandom => (Among::Expiring, By::Chance),
            MaxmemoryPolicy::VolatileTtl => (Among::Expiring, By::Expiry),
        };
        Some(Policy { among, by, samples: memory.maxmemory_samples as usize })
    }
}

/// A key that may be evicted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Victim {
    pub(super) db: usize,
    pub(super) key: Vec<u8>,
    /// The higher the sooner it goes; in the unit of the policy.
    score: u64,
}

/// The choice.
#[derive(Debug)]
pub(super) enum Choice {
    /// This key.
    Key(Victim),
    /// There is no key that the policy allows.
    Nothing,
    /// There are such keys, but the draws have met none: better luck next time.
    Later,
}

/// The best candidates of all draws, and where to draw from.
#[derive(Default)]
pub(super) struct Pool {
    policy: Option<Policy>,
    now: Millis,
    lfu: Option<Lfu>,
    survey: Survey,
    surveyed_at: Millis,
    /// In ascending order of their scores.
    candidates: VecDeque<Victim>,
}

impl Pool {
    /// To be called before a series of choices.
    pub(super) fn begin(&mut self, policy: Policy, now: Millis, lfu: Option<Lfu>) {
        let is_other =
            self.policy.is_none_or(|old| (old.among, old.by) != (policy.among, policy.by));
        if is_other {
            self.candidates.clear();
            self.survey = Survey::default();
        }
        (self.policy, self.now, self.lfu) = (Some(policy), now, lfu);
    }

    /// Draws, and takes the best candidate out.
    pub(super) fn choose(
        &mut self,
        world: &mut World<'_>,
        mut random: impl FnMut() -> u64,
    ) -> Choice {
        let Some(policy) = self.policy else { return Choice::Nothing };
        if self.survey.is_empty() || self.now.since(self.surveyed_at) >= SURVEY_AGE {
            self.take_survey(world, false);
        }
        if policy.by == By::Chance {
            self.candidates.clear();
        }
        let drawn = self.draw(world, policy, &mut random) || {
            self.take_survey(world, true);
            self.draw(world, policy, &mut random)
        };
        match self.candidates.pop_back() {
            Some(victim) => Choice::Key(victim),
            None if drawn || !self.survey.is_empty() => Choice::Later,
            None => Choice::Nothing,
        }
    }

    fn take_survey(&mut self, world: &mut World<'_>, exact: bool) {
        let among = self.policy.map_or(Among::All, |policy| policy.among);
        self.survey.take(world, among, exact);
        self.surveyed_at = self.now;
    }

    /// Draws buckets until there are enough keys. False: there was none.
    fn draw(
        &mut self,
        world: &mut World<'_>,
        policy: Policy,
        random: &mut impl FnMut() -> u64,
    ) -> bool {
        let (mut seen, mut vain) = (0, 0);
        let wanted = if policy.by == By::Chance { 1 } else { policy.samples };
        while seen < wanted && vain < DRAWS_IN_VAIN {
            let Some((slot, db, bucket)) = self.survey.draw(random()) else { break };
            let before = seen;
            let Some(guard) = world.try_lock(slot) else {
                vain += 1;
                continue;
            };
            guard.sample(db, bucket, policy.among, |entry| {
                seen += 1;
                let score = match policy.by {
                    By::Chance => random(),
                    _ => self.score(policy, entry),
                };
                consider(&mut self.candidates, db, entry, score);
            });
            vain += u32::from(seen == before);
        }
        seen > 0
    }

    fn score(&self, policy: Policy, entry: &Entry) -> u64 {
        match policy.by {
            By::Idleness => (self.now.0 / 1000).saturating_sub(u64::from(entry.access())),
            By::Frequency => {
                let used = self.lfu.map_or(0, |lfu| lfu.frequency(entry.access(), self.now));
                u64::from(u8::MAX - used)
            }
            By::Expiry => u64::MAX - entry.expiry().map_or(u64::MAX, |at| at.0),
            By::Chance => 0,
        }
    }

    /// Whether a candidate is still one, and as good as it was: it may have been used since.
    pub(super) fn still_wants(&self, victim: &Victim, entry: &Entry) -> bool {
        let Some(policy) = self.policy else { return false };
        let may_go = policy.among == Among::All || entry.expiry().is_some();
        may_go && (policy.by == By::Chance || self.score(policy, entry) >= victim.score)
    }
}

/// Remembers a key if it is better than the worst candidate, or there are few.
fn consider(candidates: &mut VecDeque<Victim>, db: usize, entry: &Entry, score: u64) {
    let is_full = candidates.len() == CANDIDATES;
    if is_full && candidates.front().is_some_and(|worst| worst.score >= score) {
        return;
    }
    if candidates.iter().any(|known| known.db == db && known.key == entry.key()) {
        return;
    }
    let at = candidates.partition_point(|known| known.score < score);
    candidates.insert(at, Victim { db, key: entry.key().to_vec(), score });
    if is_full {
        candidates.pop_front();
    }
}
