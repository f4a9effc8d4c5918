//! DEBUG DIGEST and POPULATE: for tests that compare the data of two servers.

use super::check_allowed;
use crate::commands::{integer, string};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_store::{Entry, Lookup, NewValue, ScanCursor};

/// 160 bits, as Redis' SHA-1; the function is our own, so only digests of this server compare.
#[derive(Default)]
struct Digest([u64; 3]);

impl Digest {
    /// Adds an entry. The order does not matter: two servers keep their keys in different ones.
    fn add(&mut self, db: usize, entry: &Entry) {
        let mut buffer = itoa::Buffer::new();
        let value = entry.string().map_or(&[][..], |value| string::text(value, &mut buffer));
        let lengths = [db as u64, entry.key().len() as u64, u64::from(entry.expiry().is_some())];
        for (seed, sum) in (1..).zip(&mut self.0) {
            let mut hash = Fnv::new(seed);
            lengths.iter().for_each(|length| hash.add(&length.to_le_bytes()));
            hash.add(entry.key());
            hash.add(value);
            *sum ^= hash.finish();
        }
    }

    fn text(&self) -> String {
        let [a, b, c] = self.0;
        format!("{a:016x}{b:016x}{:08x}", c as u32)
    }
}

/// FNV-1a with a final mixing, since sums of its bare values cancel out too easily.
struct Fnv(u64);

impl Fnv {
    fn new(seed: u64) -> Fnv {
        Fnv(0xCBF2_9CE4_8422_2325 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^ hash >> 31
    }
}

pub(super) fn digest(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    let mut digest = Digest::default();
    for index in 0..db.keyspace().databases() {
        let add = |entry: &Entry| digest.add(index, entry);
        db.world().scan(index, ScanCursor::default(), usize::MAX, false, add);
    }
    cx.reply.simple(&digest.text());
    Ok(())
}

/// Keys `prefix:0`, `prefix:1` …, each with the value `value:0` and so on, cut or filled with zeros to a size. What is there
/// already stays, and replicas are told nothing.
pub(super) fn populate(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    if args.len() > 5 {
        return Err(Fail::Syntax);
    }
    let number = |at: usize| -> Result<Option<usize>, Fail> {
        args.get(at)
            .map(|arg| usize::try_from(integer(arg)?).map_err(|_| Fail::NotInteger))
            .transpose()
    };
    let count = number(2)?.unwrap_or(0);
    let size = number(4)?;
    if size.is_some_and(|size| size as u64 > cx.config.network.proto_max_bulk_len.0) {
        return Err(Fail::text("ERR value is out of range"));
    }
    let (index, access) = (db.index, db.access());
    for at in 0..count {
        let mut key = args.get(3).unwrap_or(b"key").to_vec();
        key.extend_from_slice(format!(":{at}").as_bytes());
        let mut value = format!("value:{at}").into_bytes();
        value.resize(size.filter(|&size| size > 0).unwrap_or(value.len()), 0);
        let hash = db.keyspace().locate(&key);
        if let Lookup::Vacant(vacant) = db.world().lock(hash.slot()).lookup(index, &key, hash) {
            vacant.insert(NewValue::String(&value), None, access);
        }
    }
    cx.reply.ok();
    Ok(())
}
